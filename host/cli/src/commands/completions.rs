//! `lockgate completions`: a script that lets a shell complete commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Arguments;
use crate::console::Console;
use crate::failure::Failure;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  lockgate completions bash > ~/.local/share/bash-completion/completions/lockgate\n  lockgate completions zsh > ~/.zfunc/_lockgate\n  lockgate completions fish > ~/.config/fish/completions/lockgate.fish"
)]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments, console: &Console) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "lockgate", &mut script);
    console.line(String::from_utf8_lossy(&script).trim_end())
}
