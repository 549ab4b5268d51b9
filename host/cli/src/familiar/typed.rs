//! Words that are taken before the rest is parsed: `-v`, `-vf` and `help ARGUMENT`, as Jina has them.

use std::ffi::OsString;

use crate::familiar::foreign;

/// What was typed, in this command's own words.
pub(crate) fn normalise(mut words: Vec<OsString>) -> Vec<OsString> {
    if let [_, word] = words.as_mut_slice() {
        match word.to_str() {
            Some("-v") => *word = "--version".into(),
            Some("-vf" | "--version-full") => *word = "version".into(),
            _ => {}
        }
    }
    words
}

/// The lines that answer `help ARGUMENT`; none if it is a command, or nothing that is known.
pub(crate) fn lookup(words: &[OsString], command: &clap::Command) -> Option<Vec<String>> {
    let [_, help, asked] = words else { return None };
    let asked = asked.to_str()?;
    if help != "help" || command.find_subcommand(asked).is_some() {
        return None;
    }
    let name = asked.trim_start_matches('-').replace('-', "_");
    let mut lines = foreign::key_lines(&name);
    let option = name.replace('_', "-");
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let found = command.get_arguments().find(|argument| argument.get_long() == Some(&option));
        if let Some(help) = found.and_then(clap::Arg::get_help) {
            lines.push(format!("lockgate {} --{option}: {help}", command.get_name()));
        }
    }
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn versions_are_asked_for_in_jinas_words() {
        let check = |typed: &str, expected: &str| assert_eq!(normalise(words(typed)), words(expected));
        check("lockgate -v", "lockgate --version");
        check("lockgate -vf", "lockgate version");
        check("lockgate --version-full", "lockgate version");
        check("lockgate up -v", "lockgate up -v");
        check("lockgate call -v x", "lockgate call -v x");
    }

    #[test]
    fn an_argument_is_looked_up() {
        let command = crate::args::Arguments::command();
        let lookup = |line: &str| lookup(&words(line), &command).map(|lines| lines.join("\n"));
        let port = lookup("lockgate help port").unwrap();
        assert!(
            port.contains("port: a key under `with:`") && port.contains("lockgate up --port: "),
            "{port}"
        );
        let timeout = lookup("lockgate help --timeout-send").unwrap();
        assert!(timeout.contains("timeout_send: a key under an entry of `executors:`"), "{timeout}");
        let volumes = lookup("lockgate help volumes").unwrap();
        assert!(volumes.contains("sandboxed components"), "{volumes}");
        assert_eq!(lookup("lockgate help up"), None);
        assert_eq!(lookup("lockgate help nonsense"), None);
        assert_eq!(lookup("lockgate port"), None);
    }
}
