//! `lockgate export`: a flow for Kubernetes or Docker Compose, as a picture, and the format of flow files as a schema.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lockgate_deploy::{
    Bundle, BundledComponent, Chart, ChartStage, ComposeOptions, KubernetesOptions, Manifest, compose,
    kubernetes, svg,
};
use lockgate_domain::spec::ComponentRole;
use lockgate_domain::{ComponentDigest, ExecutorName, Problem};
use lockgate_flow::plan::Source;
use lockgate_flow::yaml;
use lockgate_node::Signals;
use sha2::{Digest, Sha256};

use crate::builder;
use crate::commands::build::signals_failed;
use crate::commands::up::parse_variable;
use crate::console::{ACCENT, Console, GOOD, HEADING};
use crate::failure::{Failure, Report};
use crate::flowfile::{FlowFile, Origin};
use crate::progress::Progress;
use crate::up::bring_up::Sources;

/// Write a flow for Kubernetes, Docker Compose or the eye
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  lockgate export kubernetes flow.yml k8s\n  lockgate export docker-compose flow.yml docker-compose.yml\n  lockgate export flowchart flow.yml flow.svg\n  lockgate export schema flow.schema.json"
)]
pub(crate) struct ExportArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Manifests for Kubernetes, and a folder to build the image in
    #[command(
        after_help = "Each pod runs the whole flow; no service mesh is needed. Variables of the flow file come from a Secret.\n\nExamples:\n  lockgate export kubernetes flow.yml k8s\n  lockgate export kubernetes flow.yml k8s \\\n      --namespace demo --replicas 3 --max-replicas 9"
    )]
    Kubernetes(Kubernetes),
    /// A compose file, and a folder to build the image in
    #[command(
        after_help = "Examples:\n  lockgate export docker-compose flow.yml docker-compose.yml\n  lockgate export docker-compose flow.yml out/docker-compose.yml --port 9000"
    )]
    DockerCompose(Compose),
    /// A picture of the graph: SVG, or Mermaid if the file ends in .mmd
    #[command(
        after_help = "Nothing is sent anywhere.\n\nExamples:\n  lockgate export flowchart flow.yml flow.svg\n  lockgate export flowchart flow.yml flow.mmd\n  lockgate export flowchart flow.yml > flow.svg"
    )]
    Flowchart(Flowchart),
    /// The format of flow files as a JSON Schema, for editors
    #[command(
        after_help = "In an editor with the YAML language server, a flow file's first line names it:\n  # yaml-language-server: $schema=flow.schema.json\n\nExamples:\n  lockgate export schema flow.schema.json\n  lockgate export schema > flow.schema.json"
    )]
    Schema(Schema),
}

#[derive(Debug, Args)]
struct Packing {
    /// The flow file, or one with `jtype: Deployment`
    #[arg(value_name = "FLOW.yml")]
    flow: PathBuf,

    /// A variable for `${{ ENV.NAME }}` in the file; may be repeated. Its value is not written
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<(String, String)>,

    /// The image's name [default: one that follows from the components]
    #[arg(long)]
    image: Option<String>,

    /// Write over files that are there already
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct Kubernetes {
    #[command(flatten)]
    packing: Packing,

    /// The folder to make
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// The namespace of all objects [default: what kubectl says]
    #[arg(long, alias = "k8s-namespace", value_parser = parse_label)]
    namespace: Option<String>,

    /// Pods [default: 2, or 1 if executors keep state in memory]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    replicas: Option<u32>,

    /// Most pods, by load: adds an autoscaler
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_replicas: Option<u32>,

    /// Processors that a pod asks for
    #[arg(long, value_name = "QUANTITY", default_value = "1", value_parser = parse_quantity)]
    cpu: String,

    /// Memory that a pod asks for and may not pass
    #[arg(long, value_name = "QUANTITY", default_value = "1Gi", value_parser = parse_quantity)]
    memory: String,
}

#[derive(Debug, Args)]
struct Compose {
    #[command(flatten)]
    packing: Packing,

    /// The file to write; its folder takes the image as well
    #[arg(value_name = "FILE.yml")]
    file: PathBuf,

    /// Port on the machine [default: the flow's, else 8080]
    #[arg(short, long)]
    port: Option<u16>,
}

#[derive(Debug, Args)]
struct Flowchart {
    /// The flow file, or one with `jtype: Deployment`
    #[arg(value_name = "FLOW.yml")]
    flow: PathBuf,

    /// The file to write [default: standard output]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// From top to bottom
    #[arg(long, alias = "vertical-layout")]
    vertical: bool,
}

#[derive(Debug, Args)]
struct Schema {
    /// The file to write [default: standard output]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(arguments: ExportArguments, console: &Console) -> Result<(), Failure> {
    match arguments.what {
        What::Kubernetes(arguments) => to_kubernetes(&arguments, console).await,
        What::DockerCompose(arguments) => to_compose(&arguments, console).await,
        What::Flowchart(arguments) => {
            let end = arguments.file.as_deref().and_then(Path::extension);
            let end = end.map(|end| end.to_string_lossy().to_ascii_lowercase());
            if let Some(picture @ ("png" | "jpg" | "jpeg" | "gif" | "pdf")) = end.as_deref() {
                let report = Report::new(format!("a flowchart is SVG or Mermaid, not {picture}"));
                return Err(Failure::Usage(report.hint("name a file that ends in .svg or .mmd")));
            }
            let file = FlowFile::read(&arguments.flow)?;
            let is_mermaid = end.as_deref() == Some("mmd");
            let text =
                if is_mermaid { file.draft.to_mermaid() } else { svg(&chart(&file, arguments.vertical)) };
            print(arguments.file.as_deref(), &text, console)
        }
        What::Schema(arguments) => {
            print(arguments.file.as_deref(), &format!("{:#}\n", yaml::schema()), console)
        }
    }
}

/// Into a file, or onto standard output.
fn print(file: Option<&Path>, text: &str, console: &Console) -> Result<(), Failure> {
    match file {
        Some(file) => {
            std::fs::write(file, text).map_err(|error| cannot_write(file, &error))?;
            console.line(format_args!("{GOOD}✓{GOOD:#} wrote {}", file.display()))
        }
        None => console.line(text.trim_end()),
    }
}

fn chart(file: &FlowFile, is_vertical: bool) -> Chart {
    let stages = file.draft.stages().iter().map(|stage| ChartStage {
        name: stage.name.to_string(),
        needs: stage.upstream().collect(),
        takes_request: stage.sources.contains(&Source::Gateway),
    });
    let ends = match file.draft.answer() {
        Source::Stage(place) => vec![place],
        Source::Gateway => Vec::new(),
    };
    Chart { stages: stages.collect(), ends, is_vertical }
}

/// A flow with everything that it needs, in memory but for the components.
struct Packed {
    file: FlowFile,
    flow: yaml::Packed,
    components: Vec<BundledComponent>,
    /// Where each component is now.
    sources: Vec<PathBuf>,
}

impl Packed {
    async fn make(packing: &Packing, console: &Console) -> Result<Self, Failure> {
        let mut signals = Signals::listen().map_err(signals_failed)?;
        let origin = Origin::file(&packing.flow).with_variables(&packing.env);
        let file = origin.read()?;
        file.notes.iter().for_each(|note| console.hint(note));
        let found = Sources::find(&file)?;
        let progress = Progress::new(console);
        let built = builder::unless_interrupted(&mut signals, found.build(&progress)).await?;
        let (mut components, mut sources): (Vec<BundledComponent>, Vec<PathBuf>) = (Vec::new(), Vec::new());
        let mut paths = BTreeMap::new();
        for (stage, place) in file.spec.stages.iter().zip(0..) {
            for (role, _) in stage.components() {
                let Some(path) = built.get(&(stage.name.clone(), role)) else { continue };
                let bytes = std::fs::read(path).map_err(|error| {
                    Report::new(format!("cannot read {}", path.display())).because(&error)
                })?;
                let digest = ComponentDigest::from_sha256(Sha256::digest(&bytes).into());
                let known = components.iter().find(|known| known.digest == digest).cloned();
                let component = known.unwrap_or_else(|| {
                    let component = BundledComponent { file: file_name(&stage.name, role), digest };
                    components.push(component.clone());
                    sources.push(path.clone());
                    component
                });
                paths.insert((place, role), component.path());
            }
        }
        let flow = origin.pack(&|place, role| paths.get(&(place, role)).cloned())?;
        Ok(Self { file, flow, components, sources })
    }

    fn bundle(&self) -> Bundle<'_> {
        Bundle {
            spec: &self.file.spec,
            flow_file: &self.flow.yaml,
            variables: &self.flow.variables,
            components: &self.components,
        }
    }

    /// Writes the files and, beside the recipe of the image, what goes into it.
    fn write(&self, folder: &Path, manifests: &[Manifest], force: bool) -> Result<(), Failure> {
        let image = folder.join("image");
        let there = manifests.iter().map(|file| folder.join(&file.path)).find(|path| path.exists());
        if let Some(path) = there.filter(|_| !force) {
            return Err(Report::new(format!("{} is there already", path.display()))
                .hint("--force writes over it; files of an export before that are not written again stay")
                .into());
        }
        for file in manifests {
            let path = folder.join(&file.path);
            path.parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .map_err(|error| cannot_write(&path, &error))?;
            std::fs::write(&path, &file.text).map_err(|error| cannot_write(&path, &error))?;
        }
        let parts = image.join("components");
        std::fs::create_dir_all(&parts).map_err(|error| cannot_write(&parts, &error))?;
        for (component, source) in self.components.iter().zip(&self.sources) {
            let path = parts.join(&component.file);
            std::fs::copy(source, &path).map_err(|error| cannot_write(&path, &error))?;
        }
        let command = image.join("lockgate");
        let own = std::env::current_exe().and_then(|own| std::fs::copy(own, &command));
        own.map_err(|error| cannot_write(&command, &error))?;
        Ok(())
    }
}

/// Names have no dot in them, so none of these is another's.
fn file_name(stage: &ExecutorName, role: ComponentRole) -> String {
    match role {
        ComponentRole::Main => format!("{stage}.wasm"),
        role => format!("{stage}.{}.wasm", role.key()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Report {
    Report::new(format!("cannot write {}", path.display())).because(error)
}

fn refused(problem: &Problem) -> Failure {
    Report::new("the flow cannot be exported").problem(problem).into()
}

async fn to_kubernetes(arguments: &Kubernetes, console: &Console) -> Result<(), Failure> {
    if let (Some(least), Some(most)) = (arguments.replicas, arguments.max_replicas)
        && most < least
    {
        let message = format!("--max-replicas {most} is less than --replicas {least}");
        return Err(Failure::Usage(Report::new(message)));
    }
    let packed = Packed::make(&arguments.packing, console).await?;
    let options = KubernetesOptions {
        namespace: arguments.namespace.clone(),
        image: arguments.packing.image.clone(),
        replicas: arguments.replicas,
        max_replicas: arguments.max_replicas,
        cpu: arguments.cpu.clone(),
        memory: arguments.memory.clone(),
    };
    let manifests = kubernetes(&packed.bundle(), &options).map_err(|problem| refused(&problem))?;
    packed.write(&arguments.folder, &manifests, arguments.packing.force)?;
    let folder = arguments.folder.display();
    let image = packed.bundle().image_name(arguments.packing.image.as_deref());
    let space = arguments.namespace.as_deref().map(|name| format!(" --namespace {name}")).unwrap_or_default();
    let mut steps =
        vec![(format!("docker build -t {image} {folder}/image"), "push it to where the cluster pulls from")];
    if !packed.flow.variables.is_empty() {
        let literals: String =
            packed.flow.variables.iter().map(|name| format!(" --from-literal={name}=\"${name}\"")).collect();
        let secret = packed.bundle().secret_name();
        steps.push((
            format!("kubectl create secret generic {secret}{space}{literals}"),
            "variables of the flow",
        ));
    }
    if let Some(tls) = &packed.file.spec.gateway.tls {
        let [certificate, key] = [&tls.certificate, &tls.private_key]
            .map(|path| packed.file.folder.join(path).display().to_string());
        let secret = packed.bundle().certificate_secret_name();
        let command = format!("kubectl create secret tls {secret}{space} --cert {certificate} --key {key}");
        steps.push((command, "what callers see"));
    }
    steps.push((format!("kubectl apply{space} -f {folder}"), "again after each export"));
    say(console, &format!("{folder}"), &manifests, &steps)
}

async fn to_compose(arguments: &Compose, console: &Console) -> Result<(), Failure> {
    let Some(name) = arguments.file.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Err(Failure::Usage(Report::new(format!("{} is no file", arguments.file.display()))));
    };
    let packed = Packed::make(&arguments.packing, console).await?;
    let absolute = |path: &String| {
        let path = packed.file.folder.join(path);
        std::path::absolute(&path).unwrap_or(path).display().to_string()
    };
    let tls = packed.file.spec.gateway.tls.as_ref();
    let options = ComposeOptions {
        file: name,
        image: arguments.packing.image.clone(),
        port: arguments.port,
        certificate: tls.map(|tls| [absolute(&tls.certificate), absolute(&tls.private_key)]),
    };
    let manifests = compose(&packed.bundle(), &options).map_err(|problem| refused(&problem))?;
    let folder = arguments.file.parent().map(Path::to_owned).unwrap_or_default();
    packed.write(&folder, &manifests, arguments.packing.force)?;
    let shown = arguments.file.display();
    let steps = vec![(format!("docker compose -f {shown} up --build"), "serve it")];
    say(console, &shown.to_string(), &manifests, &steps)
}

fn say(
    console: &Console,
    place: &str,
    manifests: &[Manifest],
    steps: &[(String, &str)],
) -> Result<(), Failure> {
    let names: Vec<&str> = manifests.iter().map(|file| file.path.as_str()).collect();
    console.line(format_args!("{GOOD}✓{GOOD:#} wrote {place}: {}", names.join(", ")))?;
    console.line(format_args!("\n{HEADING}Next:{HEADING:#}"))?;
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0).min(60);
    steps.iter().try_for_each(|(command, what)| {
        console.line(format_args!("  {ACCENT}{command:<width$}{ACCENT:#}  {what}"))
    })
}

/// A DNS label.
fn parse_label(text: &str) -> Result<String, String> {
    let is_label = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        Ok(text.to_owned())
    } else {
        Err("expected lower-case letters, digits and '-', such as demo".into())
    }
}

/// A quantity as Kubernetes writes it.
fn parse_quantity(text: &str) -> Result<String, String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let is_number = digits.parse::<f64>().is_ok_and(|number| number > 0.0);
    let suffixes = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    if is_number && suffixes.contains(&suffix) {
        return Ok(text.to_owned());
    }
    Err("expected a quantity such as 500m, 2 or 1Gi".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_quantities() {
        let label = |text: &str| parse_label(text).is_ok();
        assert!(
            label("demo") && label("a-1") && !label("Demo") && !label("-a") && !label("") && !label("a/b")
        );
        let quantity = |text: &str| parse_quantity(text).is_ok();
        assert!(quantity("1") && quantity("500m") && quantity("1.5Gi"));
        assert!(!quantity("0") && !quantity("lots") && !quantity("1GB") && !quantity("-1") && !quantity(""));
    }
}
