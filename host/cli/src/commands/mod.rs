//! One file per command, and what they share: the log and the async runtime.

pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod inspect;
pub(crate) mod up;
pub(crate) mod version;

use crate::args::{Arguments, Command};
use crate::console::Console;
use crate::failure::{Failure, Report};

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    lockgate_telemetry::init(&arguments.log_options()).map_err(|error| {
        Failure::Usage(
            Report::new("cannot start the log")
                .because(&error)
                .hint("check --log-level and the variable LOCKGATE_LOG"),
        )
    })?;
    match arguments.command {
        Command::Up(arguments) => block_on(up::run(arguments, console)),
        Command::Call(arguments) => block_on(call::run(arguments, console)),
        Command::Build(arguments) => block_on(build::run(arguments, console)),
        Command::Inspect(arguments) => block_on(inspect::run(arguments, console)),
        Command::Check(arguments) => block_on(check::run(arguments, console)),
        Command::Version(arguments) => version::run(&arguments, console),
        Command::Completions(arguments) => completions::run(&arguments, console),
        Command::CompileComponent => {
            lockgate_node::compile_worker(std::io::stdin().lock(), std::io::stdout().lock())
                .map_err(Failure::from)
        }
    }
}

/// Runs a command that waits for things. The runtime is built here, once, and is gone before the process ends.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("lockgate")
        .build()
        .map_err(|error| Report::new("cannot start the async runtime").because(&error))?;
    let outcome = runtime.block_on(work);
    // Whatever still runs on its blocking threads (a file read from a pipe, say) must not hold up the end.
    runtime.shutdown_background();
    outcome
}
