//! `lockgate up`: build, compile, warm, serve, and drain at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lockgate_node::{Deployment, GatewayOptions, Node, NodeOptions, Serving, Signals};

use crate::builder;
use crate::cache::node_options;
use crate::commands::build::signals_failed;
use crate::console::{Console, FAINT, GOOD};
use crate::failure::{Failure, Report};
use crate::flowfile::FlowFile;
use crate::progress::Progress;
use crate::up::bring_up::{Sources, deploy};
use crate::up::ending::{end, say_goodbye};
use crate::up::watch::Watch;
use crate::up::{listen, summary};

/// Serve a flow
#[derive(Debug, Args)]
#[command(
    after_help = "Executors given as source folders are built first. The flow is served over HTTP, gRPC and WebSocket on one port.\nThe first SIGINT or SIGTERM drains, the second ends at once.\n\nExamples:\n  lockgate up flow.yml\n  lockgate up flow.yml --port 9000 --watch\n  lockgate up flow.yml --json | jq .urls"
)]
pub(crate) struct UpArguments {
    /// The flow file
    #[arg(value_name = "FLOW.yml")]
    flow: PathBuf,

    /// Address to listen on [default: the flow's, else 127.0.0.1]
    #[arg(long)]
    host: Option<String>,

    /// Port to listen on, 0 for any free one [default: the flow's, else 8080]
    #[arg(short, long)]
    port: Option<u16>,

    /// Rebuild and swap without a pause whenever the flow file or a source changes
    #[arg(short, long)]
    watch: bool,

    /// Print one line of JSON on standard output when the flow is ready
    #[arg(long)]
    json: bool,

    /// Where compiled components are kept [default: lockgate in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKGATE_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,

    /// Keep requests that an executor fails as files in this folder, for `lockgate replay`; each call then has an
    /// instance of its own. The files hold what the requests and `uses_with` hold
    #[arg(long, value_name = "FOLDER")]
    capsules: Option<PathBuf>,

    /// Seconds that requests in progress have to finish when the host drains
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,
}

pub(crate) async fn run(arguments: UpArguments, console: &Console) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    let (host, mut serving, mut watch) =
        builder::unless_interrupted(&mut signals, start(&arguments, console)).await?;
    let following = async {
        match &mut watch {
            Some(watch) => host.follow(watch).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = end(&mut serving, &mut signals, console) => ended,
        () = following => return Err(Report::new("the watch over the sources was lost").into()),
    };
    say_goodbye(ended, console)
}

/// What stays the same while flows come and go.
struct Host<'a> {
    node: Node,
    path: &'a Path,
    console: &'a Console,
    progress: Progress,
}

async fn start<'a>(
    arguments: &'a UpArguments,
    console: &'a Console,
) -> Result<(Host<'a>, Serving, Option<Watch>), Failure> {
    let progress = Progress::new(console);
    let file = FlowFile::read(&arguments.flow)?;
    file.notes.iter().for_each(|note| console.hint(note));
    // The port first: nobody wants to wait for a build to learn that it is taken.
    let listener =
        listen::bind(arguments.host.as_deref(), arguments.port, &file.spec.gateway, console).await?;
    let options = node_options(arguments.cache_dir.as_deref());
    let node = Node::new(NodeOptions { capsules: arguments.capsules.clone(), ..options })?;
    let host = Host { node, path: &arguments.flow, console, progress };
    let sources = Sources::find(&file)?;
    let watch = if arguments.watch {
        let mut watch = Watch::new(&arguments.flow)?;
        watch.follow(&sources)?;
        Some(watch)
    } else {
        None
    };
    let components = sources.build(&host.progress).await?;
    let deployment = deploy(&host.node, &file, components, &host.progress).await?;
    let options = GatewayOptions {
        drain_timeout: Duration::from_secs(arguments.drain_timeout),
        ..GatewayOptions::from_spec(&file.spec.gateway)
    };
    let serving = host
        .node
        .serve(listener, options)
        .map_err(|error| Report::new("cannot serve on the socket").because(&error))?;
    announce(arguments, &file, &deployment, &serving, console)?;
    Ok((host, serving, watch))
}

fn announce(
    arguments: &UpArguments,
    file: &FlowFile,
    deployment: &Deployment,
    serving: &Serving,
    console: &Console,
) -> Result<(), Failure> {
    let (name, address) = (&file.spec.name, serving.address());
    if arguments.json {
        return console.line(summary::ready(name, deployment, address));
    }
    console.line("")?;
    summary::stages(deployment).iter().try_for_each(|line| console.line(line))?;
    console.line("")?;
    summary::addresses(name, deployment, address).iter().try_for_each(|line| console.line(line))
}

impl Host<'_> {
    /// Swaps flows as files change; returns only when changes can no longer be seen.
    async fn follow(&self, watch: &mut Watch) {
        self.console.note(format_args!("{FAINT}watching the flow and its sources{FAINT:#}"));
        while let Some(changed) = watch.changed().await {
            let name = changed.file_name().unwrap_or(changed.as_os_str()).to_string_lossy().into_owned();
            self.progress.say(&format!("{FAINT}{name} changed{FAINT:#}"));
            match self.swap(watch).await {
                Ok(deployment) => self.say_swapped(&deployment),
                Err(failure) => {
                    // The exit code is for the end of the command, which this is not.
                    let _code = failure.report(self.console);
                    self.console.hint("the flow before goes on serving; save again when it is mended");
                }
            }
        }
    }

    async fn swap(&self, watch: &mut Watch) -> Result<Deployment, Failure> {
        let file = FlowFile::read(self.path)?;
        let sources = Sources::find(&file)?;
        watch.follow(&sources)?;
        let components = sources.build(&self.progress).await?;
        deploy(&self.node, &file, components, &self.progress).await
    }

    fn say_swapped(&self, deployment: &Deployment) {
        let kept = deployment.stages.iter().filter(|stage| stage.is_kept).count();
        let new = deployment.stages.len() - kept;
        self.console.note(format_args!(
            "{GOOD}swapped{GOOD:#}: {new} stage{} new, {kept} unchanged",
            if new == 1 { "" } else { "s" }
        ));
    }
}
