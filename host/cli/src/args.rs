//! The words of the command line: global options and the list of commands.
//!
//! Each command owns its own arguments in its own file; this one owns what they share and how clap's complaints end.

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand, ValueEnum};
use lockgate_telemetry::{LogFormat, LogOptions};

use crate::commands::{
    build, call, check, completions, component, deploy, deployment, executor, export, flow, gateway, history,
    inspect, key, login, migrate, new, ping, publish, replay, revision, secret, serve, signing, tag, tenant,
    up, version,
};

use crate::console::Console;
use crate::failure::Failure;
use crate::familiar::foreign;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Runs flows of sandboxed executors and serves them over gRPC, HTTP and WebSocket
#[derive(Debug, Parser)]
#[command(
    name = "lockgate",
    bin_name = "lockgate",
    version,
    styles = STYLES,
    max_term_width = 110,
    after_help = "Start here:\n  lockgate up flow.yml                          serve a flow\n  lockgate call --endpoint / --text 'hello'     send it a document\n  lockgate serve --data data                    serve the executors of many tenants\n\nRun 'lockgate COMMAND --help' for examples."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub(crate) color: Color,

    /// What to log: a level, or directives such as 'info,lockgate::guest=off' [default: info for up and serve, else warn]
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "LOCKGATE_LOG",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) log_level: Option<String>,

    /// How log lines look
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "pretty",
        help_heading = "Global options"
    )]
    pub(crate) log_format: LogLines,
}

impl Arguments {
    /// What the log is to be.
    pub(crate) fn log_options(&self) -> LogOptions {
        let format = match self.log_format {
            LogLines::Pretty => LogFormat::Pretty,
            LogLines::Json => LogFormat::Json,
        };
        // Whoever serves wants to see what guests say; whoever calls wants the answer alone.
        let serves = match &self.command {
            Command::Up(_) | Command::Serve(_) | Command::Deployment(_) | Command::Gateway(_) => true,
            Command::Flow(arguments) => arguments.serves(),
            Command::Executor(arguments) => arguments.serves(),
            _ => false,
        };
        let usual = if serves { "info" } else { "warn" };
        LogOptions { format, filter: self.log_level.clone().unwrap_or_else(|| usual.into()) }
    }
}

/// One variant per command; each has its own file in `commands`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::UpArguments),
    Deployment(Box<deployment::DeploymentArguments>),
    Gateway(Box<gateway::GatewayArguments>),
    Serve(Box<serve::ServeArguments>),
    #[command(alias = "client")]
    Call(Box<call::CallArguments>),
    Ping(ping::PingArguments),
    Build(build::BuildArguments),
    Inspect(inspect::InspectArguments),
    Check(check::CheckArguments),
    Replay(replay::ReplayArguments),
    New(new::NewArguments),
    Migrate(migrate::MigrateArguments),
    Export(Box<export::ExportArguments>),
    Publish(Box<publish::PublishArguments>),
    Rollback(tag::RollbackArguments),
    Deploy(Box<deploy::DeployArguments>),
    Status(deploy::StatusArguments),
    Shadow(deploy::ShadowArguments),
    Executor(Box<executor::ExecutorArguments>),
    Revision(revision::RevisionArguments),
    Tag(tag::TagArguments),
    Component(component::ComponentArguments),
    Flow(Box<flow::FlowArguments>),
    Secret(secret::SecretArguments),
    Sign(signing::SignArguments),
    SigningKey(signing::SigningKeyArguments),
    Tenant(Box<tenant::TenantArguments>),
    Key(key::KeyArguments),
    Usage(history::UsageArguments),
    Audit(history::AuditArguments),
    Capsule(history::CapsuleArguments),
    Login(login::LoginArguments),
    Logout(login::LogoutArguments),
    Whoami(login::WhoamiArguments),
    Version(version::VersionArguments),
    Completions(completions::CompletionsArguments),
    /// Compile a component from standard input, for the host itself
    #[command(name = crate::cache::COMPILER, hide = true)]
    CompileComponent,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// on a terminal
    Auto,
    /// even into a file
    Always,
    /// nowhere
    Never,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLines {
    /// one readable line each
    Pretty,
    /// one JSON object each
    Json,
}

/// Prints help, version or a complaint about the arguments, each where it belongs.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    if let Some(report) = foreign::explain(error) {
        let console = Console::new(Color::Auto, LogLines::Pretty);
        return Failure::Usage(report).report(&console);
    }
    // A reader that went away is no reason to fail.
    drop(error.print());
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

#[cfg(test)]
mod tests;
