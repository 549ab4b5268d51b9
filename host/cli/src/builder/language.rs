//! Which language a source folder is written in, by the file that each language's tools ask for.

use std::path::Path;

/// A language of executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    JavaScript,
    Python,
    Go,
    C,
}

impl Language {
    /// Looks for each language's own file.
    pub(super) fn detect(folder: &Path) -> Option<Self> {
        const SIGNS: &[(&str, Language)] = &[
            ("Cargo.toml", Language::Rust),
            ("package.json", Language::JavaScript),
            ("go.mod", Language::Go),
            ("pyproject.toml", Language::Python),
            ("requirements.txt", Language::Python),
            ("config.yml", Language::Python),
            ("executor.py", Language::Python),
            ("app.py", Language::Python),
            ("CMakeLists.txt", Language::C),
            ("Makefile", Language::C),
        ];
        SIGNS.iter().find(|(file, _)| folder.join(file).is_file()).map(|(_, language)| *language)
    }

    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::JavaScript => "JavaScript",
            Language::Python => "Python",
            Language::Go => "Go",
            Language::C => "C",
        }
    }

    /// The tool that makes components of it.
    pub(super) fn own_tool(self) -> &'static str {
        match self {
            Language::Rust => "cargo",
            Language::JavaScript => "componentize-js",
            Language::Python => "componentize-py",
            Language::Go => "wit-bindgen and wasm-tools",
            Language::C => "clang, wit-bindgen and wasm-tools",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_tell_their_language() {
        let check = |files: &[&str], expected: Option<Language>| {
            let folder = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| std::fs::write(folder.path().join(file), "").unwrap());
            assert_eq!(Language::detect(folder.path()), expected, "{files:?}");
        };
        check(&[], None);
        check(&["README.md"], None);
        check(&["Cargo.toml", "package.json"], Some(Language::Rust));
        check(&["package.json"], Some(Language::JavaScript));
        check(&["config.yml"], Some(Language::Python));
    }
}
