//! `lockgate version`: which build this is.

use clap::Args;
use serde_json::json;

use crate::console::Console;
use crate::failure::Failure;

/// Show the version
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lockgate version\n  lockgate version --json")]
pub(crate) struct VersionArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &VersionArguments, console: &Console) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let contract = lockgate_node::CONTRACT;
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    if arguments.json {
        return console.line(json!({
            "version": version, "contract": contract, "platform": platform,
        }));
    }
    console.line(format_args!("lockgate {version}"))?;
    console.line(format_args!("contract {contract}"))?;
    console.line(format_args!("platform {platform}"))
}
