//! `lockgate up`: build, compile, warm, serve, and drain at the end.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lockgate_domain::spec::TlsSpec;
use lockgate_node::{Certificate, Deployment, GatewayOptions, Node, NodeOptions, Serving, Signals};

use crate::builder;
use crate::cache::node_options;
use crate::commands::build::signals_failed;
use crate::console::{Console, FAINT, GOOD};
use crate::failure::{Failure, Report};
use crate::flowfile::{FlowFile, Origin};
use crate::progress::Progress;
use crate::tls::{self, CertificateArguments};
use crate::up::bring_up::{Sources, deploy};
use crate::up::ending::{end, say_goodbye};
use crate::up::watch::Watch;
use crate::up::{listen, summary};

/// Seconds to drain unless something else is asked for.
const DRAIN_SECONDS: u64 = 30;

/// Serve a flow
#[derive(Debug, Args)]
#[command(
    after_help = "Executors given as source folders are built first. The flow is served over HTTP, gRPC and WebSocket on one port, unless its file names a port for each.\nThe first SIGINT or SIGTERM drains, the second ends at once.\n\nExamples:\n  lockgate up flow.yml\n  lockgate up flow.yml --port 9000 --watch\n  lockgate up flow.yml --env MODEL=small\n  lockgate up flow.yml --tls-cert cert.pem --tls-key key.pem\n  lockgate up flow.yml --json | jq .urls"
)]
pub(crate) struct UpArguments {
    /// The flow file, or one with `jtype: Deployment`
    #[arg(value_name = "FLOW.yml")]
    flow: PathBuf,

    /// A variable for `${{ ENV.NAME }}` in the file; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<(String, String)>,

    #[command(flatten)]
    serving: ServingArguments,

    /// Print one line of JSON on standard output when the flow is ready
    #[arg(long)]
    json: bool,
}

/// How a flow is served, whatever it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub(crate) struct ServingArguments {
    /// Address to listen on [default: the flow's, else 127.0.0.1]
    #[arg(long, alias = "host-in")]
    host: Option<String>,

    /// Port to listen on for every protocol, 0 for any free one [default: the flow's, else 8080]
    #[arg(short, long)]
    port: Option<u16>,

    /// Rebuild and swap without a pause whenever the flow file or a source changes
    #[arg(short, long, alias = "reload")]
    watch: bool,

    /// Where compiled components are kept [default: lockgate in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKGATE_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,

    /// Keep requests that an executor fails as files in this folder, for `lockgate replay`; each call then has an
    /// instance of its own. The files hold what the requests and `uses_with` hold
    #[arg(long, value_name = "FOLDER")]
    capsules: Option<PathBuf>,

    /// Seconds that requests in progress have to finish when the host drains [default: 30]
    #[arg(long, value_name = "SECONDS")]
    drain_timeout: Option<u64>,

    #[command(flatten)]
    certificate: CertificateArguments,
}

impl ServingArguments {
    /// Whether one of them was typed. The cache's place may come from the environment, which is nobody's typing.
    pub(crate) fn are_given(&self) -> bool {
        *self != Self { cache_dir: self.cache_dir.clone(), ..Self::default() }
    }
}

/// `NAME=VALUE`, or `NAME:VALUE` as Jina's users write it.
pub(crate) fn parse_variable(text: &str) -> Result<(String, String), String> {
    let expected = "expected NAME=VALUE, such as MODEL=small";
    let (name, value) = text.split_once(['=', ':']).ok_or(expected)?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { Ok((name.to_owned(), value.trim_start().to_owned())) } else { Err(expected.to_owned()) }
}

pub(crate) async fn run(arguments: UpArguments, console: &Console) -> Result<(), Failure> {
    let origin = Origin::file(&arguments.flow).with_variables(&arguments.env);
    serve(&origin, &arguments.serving, arguments.json, console).await
}

/// Serves a flow until a signal ends it. `json` says in which words readiness is told.
pub(crate) async fn serve(
    origin: &Origin,
    arguments: &ServingArguments,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(signals_failed)?;
    let (host, mut serving, mut watch) =
        builder::unless_interrupted(&mut signals, start(origin, arguments, json, console)).await?;
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
    origin: &'a Origin,
    console: &'a Console,
    progress: Progress,
}

async fn start<'a>(
    origin: &'a Origin,
    arguments: &ServingArguments,
    json: bool,
    console: &'a Console,
) -> Result<(Host<'a>, Serving, Option<Watch>), Failure> {
    let progress = Progress::new(console);
    let file = origin.read()?;
    file.notes.iter().for_each(|note| console.hint(note));
    // The port first: nobody wants to wait for a build to learn that it is taken.
    let (gateway, certificate) = (&file.spec.gateway, certificate(arguments, &file)?);
    let ports =
        listen::bind(arguments.host.as_deref(), arguments.port, gateway, certificate, console).await?;
    let options = node_options(arguments.cache_dir.as_deref());
    let node = Node::new(NodeOptions { capsules: arguments.capsules.clone(), ..options })?;
    let host = Host { node, origin, console, progress };
    let sources = Sources::find(&file)?;
    let watch = if arguments.watch {
        let mut watch = Watch::new(origin.path())?;
        watch.follow(&sources, &file.included)?;
        Some(watch)
    } else {
        None
    };
    let components = sources.build(&host.progress).await?;
    let deployment = deploy(&host.node, &file, components, &host.progress).await?;
    let options = GatewayOptions {
        drain_timeout: Duration::from_secs(arguments.drain_timeout.unwrap_or(DRAIN_SECONDS)),
        ..GatewayOptions::from_spec(&file.spec.gateway)
    };
    let serving = host
        .node
        .serve(ports, options)
        .map_err(|error| Report::new("cannot serve on the socket").because(&error))?;
    announce(json, &file, &deployment, &serving, console)?;
    Ok((host, serving, watch))
}

/// What the gateway shows to callers: the command line wins over the flow.
fn certificate(arguments: &ServingArguments, file: &FlowFile) -> Result<Option<Certificate>, Report> {
    if let Some(certificate) = arguments.certificate.load()? {
        return Ok(Some(certificate));
    }
    let files = file.spec.gateway.tls.as_ref();
    let load =
        |tls: &TlsSpec| tls::load(&file.folder.join(&tls.certificate), &file.folder.join(&tls.private_key));
    files.map(load).transpose()
}

fn announce(
    json: bool,
    file: &FlowFile,
    deployment: &Deployment,
    serving: &Serving,
    console: &Console,
) -> Result<(), Failure> {
    let (name, ports) = (&file.spec.name, serving.ports());
    if json {
        return console.line(summary::ready(name, deployment, ports));
    }
    console.line("")?;
    summary::stages(deployment).iter().try_for_each(|line| console.line(line))?;
    console.line("")?;
    summary::addresses(name, deployment, ports).iter().try_for_each(|line| console.line(line))
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
        let file = self.origin.read()?;
        let sources = Sources::find(&file)?;
        watch.follow(&sources, &file.included)?;
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

/// A command that serves with `--uses` was typed without it.
pub(crate) fn nothing_to_serve(command: &str, example: &str) -> Failure {
    Failure::Usage(
        Report::new(format!("{command} is not told what to serve"))
            .hint(format!("lockgate {command} --uses {example} serves it on this machine"))
            .hint(format!("lockgate {command} --help lists what it does on a host with many tenants")),
    )
}

/// A command was asked to serve here and to ask a host.
pub(crate) fn both_meanings(command: &str) -> Failure {
    Failure::Usage(
        Report::new(format!("{command} cannot serve here and ask a host at once"))
            .hint(format!("lockgate {command} --uses ... serves on this machine"))
            .hint(format!(
                "lockgate {command} list, and the like, ask a host: they take none of the options for serving"
            )),
    )
}
