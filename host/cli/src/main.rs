//! The `lockgate` command.
//!
//! `main` only chooses: it parses the arguments, hands them to the command's own file, prints what went wrong and turns
//! it into an exit code (0 done, 1 failed, 2 wrong usage). Nothing here or below ends the process by force, so that
//! destructors always run; a reader that went away (`lockgate call ... | head`) is a quiet success.

mod args;
mod builder;
mod cache;
mod call;
mod commands;
mod console;
mod control;
mod failure;
mod familiar;
mod flowfile;
mod measures;
mod new;
mod progress;
mod table;
mod tls;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::Arguments;
use crate::console::Console;
use crate::familiar::typed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words = typed::normalise(std::env::args_os().collect());
    if let Some(lines) = typed::lookup(&words, &Arguments::command()) {
        return print(&lines);
    }
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => return args::explain(&error),
    };
    let console = Console::new(arguments.color, arguments.log_format);
    match commands::run(arguments, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&console),
    }
}

/// Prints an answer that needs no command.
fn print(lines: &[String]) -> ExitCode {
    let console = Console::new(args::Color::Auto, args::LogLines::Pretty);
    match lines.iter().try_for_each(|line| console.line(line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&console),
    }
}
