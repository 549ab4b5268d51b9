//! One file per command, and what they share: the log and the async runtime.

pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod component;
pub(crate) mod deploy;
pub(crate) mod deployment;
pub(crate) mod executor;
pub(crate) mod export;
pub(crate) mod flow;
pub(crate) mod gateway;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod key;
mod listing;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod new;
pub(crate) mod ping;
pub(crate) mod publish;
pub(crate) mod replay;
pub(crate) mod revision;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod signing;
pub(crate) mod tag;
pub(crate) mod tenant;
pub(crate) mod up;
pub(crate) mod version;

use lockgate_node::Signals;

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
        Command::Serve(arguments) => {
            block_on_threads(lockgate_node::worker_threads(), serve::run(*arguments, console))
        }
        Command::Deployment(arguments) => block_on(deployment::run(*arguments, console)),
        Command::Gateway(arguments) => block_on(gateway::run(*arguments, console)),
        Command::Call(arguments) => block_on(call::run(arguments, console)),
        Command::Ping(arguments) => ask(ping::run(arguments, console)),
        Command::New(arguments) => new::run(&arguments, console),
        Command::Export(arguments) => block_on(export::run(*arguments, console)),
        Command::Migrate(arguments) => migrate::run(&arguments, console),
        Command::Login(arguments) => ask(login::login(arguments, console)),
        Command::Logout(arguments) => login::logout(&arguments, console),
        Command::Whoami(arguments) => ask(login::whoami(arguments, console)),
        Command::Publish(arguments) => ask(publish::run(*arguments, console)),
        Command::Rollback(arguments) => ask(tag::rollback(arguments, console)),
        Command::Deploy(arguments) => ask(deploy::run(*arguments, console)),
        Command::Status(arguments) => ask(deploy::status(arguments, console)),
        Command::Shadow(arguments) => ask(deploy::shadow(arguments, console)),
        // What serves listens for signals itself: the first one drains.
        Command::Executor(arguments) if arguments.serves() => block_on(executor::run(*arguments, console)),
        Command::Executor(arguments) => ask(executor::run(*arguments, console)),
        Command::Revision(arguments) => ask(revision::run(arguments, console)),
        Command::Tag(arguments) => ask(tag::run(arguments, console)),
        Command::Component(arguments) => ask(component::run(arguments, console)),
        Command::Flow(arguments) if arguments.serves() => block_on(flow::run(*arguments, console)),
        Command::Flow(arguments) => ask(flow::run(*arguments, console)),
        Command::Secret(arguments) => ask(secret::run(arguments, console)),
        Command::Sign(arguments) => ask(signing::sign(arguments, console)),
        Command::SigningKey(arguments) => ask(signing::signing_key(arguments, console)),
        Command::Tenant(arguments) => ask(tenant::run(*arguments, console)),
        Command::Key(arguments) => ask(key::run(arguments, console)),
        Command::Usage(arguments) => ask(history::usage(arguments, console)),
        Command::Audit(arguments) => ask(history::audit(arguments, console)),
        Command::Capsule(arguments) => ask(history::capsule(arguments, console)),
        Command::Build(arguments) => block_on(build::run(arguments, console)),
        Command::Inspect(arguments) => block_on(inspect::run(arguments, console)),
        Command::Replay(arguments) => block_on(replay::run(arguments, console)),
        Command::Check(arguments) => block_on(check::run(arguments, console)),
        Command::Version(arguments) => version::run(&arguments, console),
        Command::Completions(arguments) => completions::run(&arguments, console),
        Command::CompileComponent => {
            lockgate_node::compile_worker(std::io::stdin().lock(), std::io::stdout().lock())
                .map_err(Failure::from)
        }
    }
}

/// Runs a command that asks a host; a signal ends it, whatever it waits for.
fn ask(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(async {
        let mut signals = Signals::listen().map_err(build::signals_failed)?;
        crate::builder::unless_interrupted(&mut signals, work).await
    })
}

/// Runs a command that waits for things. The runtime is built here, once, and is gone before the process ends.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on_threads(cores(), work)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn block_on_threads(threads: usize, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .thread_name("lockgate")
        .build()
        .map_err(|error| Report::new("cannot start the async runtime").because(&error))?;
    let outcome = runtime.block_on(work);
    // Whatever still runs on its blocking threads (a file read from a pipe, say) must not hold up the end.
    runtime.shutdown_background();
    outcome
}
