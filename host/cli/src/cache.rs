//! How components are compiled and where the outcome is kept between runs (by the XDG rules).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lockgate_node::{CompilerCommand, NodeOptions};

/// The hidden command that compiles.
pub(crate) const COMPILER: &str = "compile-component";

/// A node that compiles in processes of its own and keeps the outcome in `cache_dir` or at the usual place.
pub(crate) fn node_options(cache_dir: Option<&Path>) -> NodeOptions {
    let cache_dir = cache_dir.map(Path::to_owned).or_else(default_dir);
    NodeOptions { cache_dir, compiler: compiler(), capsules: None }
}

/// This program again. By its process and not by its path, where that is possible: the file may be replaced while it
/// runs.
pub(crate) fn compiler() -> Option<CompilerCommand> {
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { Some(own.to_owned()) } else { std::env::current_exe().ok() };
    program.map(|program| CompilerCommand { program, arguments: vec![COMPILER.into()] })
}

/// `$XDG_CACHE_HOME/lockgate`, else `~/.cache/lockgate`; none where neither is known.
fn default_dir() -> Option<PathBuf> {
    choose(std::env::var_os("XDG_CACHE_HOME"), std::env::home_dir())
}

fn choose(xdg: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The rules say that a relative path is to be ignored.
    let xdg = xdg.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute()).map(|home| home.join(".cache"));
    xdg.or(home).map(|cache| cache.join("lockgate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xdg_wins_over_home() {
        let check = |xdg: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            assert_eq!(choose(xdg.map(Into::into), home.map(Into::into)), expected.map(PathBuf::from));
        };
        check(Some("/x"), Some("/h"), Some("/x/lockgate"));
        check(None, Some("/h"), Some("/h/.cache/lockgate"));
        check(Some("relative"), Some("/h"), Some("/h/.cache/lockgate"));
        check(Some(""), None, None);
    }
}
