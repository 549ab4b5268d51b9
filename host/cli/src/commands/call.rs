//! `lockgate call`: documents to a flow, and its answers on the screen.

use std::time::{Duration, Instant};

use clap::Args;
use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::{DocumentList, Limits, Parameters};
use lockgate_wire::envelope::{Answer, Dialect, Request};
use lockgate_wire::json;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::call::input::{self, Content, Input, InputArguments};
use crate::call::marks::{MarkArguments, Marks};
use crate::call::render;
use crate::call::target::{DEFAULT_URL, Target};
use crate::call::transport::Connection;
use crate::console::{Console, FAINT};
use crate::control::saved_ca_for;
use crate::failure::{Failure, Report};
use crate::measures;
use crate::progress::Progress;
use crate::tls::TrustArguments;

/// Send documents to a flow
#[derive(Debug, Args)]
#[command(
    after_help = "Without options that name documents, standard input is sent as one text.\n\nExamples:\n  lockgate call --text 'hello world'\n  lockgate call --endpoint /index --dir docs --glob '**/*.md'\n  lockgate call --endpoint /search --text 'how do swaps work' --param top_k=5\n  lockgate call http://127.0.0.1:9000 --file photo.png --json\n  lockgate call --executor shout:stable --text 'hello world'\n  lockgate call grpcs://flows.example:443 --ca ca.pem --text 'hello world'\n  lockgate call --stream --endpoint /words --text 'one two three'\n  lockgate call --stream --json https://flows.example:443 \\\n      --endpoint /chat --jsonl questions.jsonl\n  cat documents.jsonl | lockgate call ws://127.0.0.1:8080 --jsonl - --json"
)]
pub(crate) struct CallArguments {
    /// Where the flow is served; grpc://, http:// or ws:// chooses the protocol, grpcs://, https:// or wss:// with TLS;
    /// without a port 8080 is meant, and 443 with TLS
    #[arg(value_name = "URL", default_value = DEFAULT_URL, env = "LOCKGATE_CALL_URL", hide_env_values = true)]
    target: Target,

    /// What to address, such as /search
    #[arg(short, long, value_name = "ENDPOINT", default_value = "/")]
    endpoint: String,

    /// A parameter; what is no JSON is taken as text; may be repeated
    #[arg(short, long, value_name = "NAME=JSON", value_parser = parse_parameter)]
    param: Vec<(String, Value)>,

    /// Parameters as a JSON object; --param wins
    #[arg(long, value_name = "JSON", value_parser = parse_parameters)]
    params: Option<Map<String, Value>>,

    /// Only executors whose names begin with this pattern
    #[arg(long, value_name = "PATTERN")]
    target_executor: Option<String>,

    /// Documents in one request
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// Print what a streaming endpoint gives as it comes; each document is sent by itself
    #[arg(long, conflicts_with = "batch")]
    stream: bool,

    /// Seconds that each request may take, such as 0.5 [default: what the flow allows]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,

    /// Print one JSON document per line
    #[arg(long)]
    json: bool,

    /// Show at most this many documents
    #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with = "json")]
    show: u64,

    /// Cut lines at this many columns [default: the terminal's width]
    #[arg(long, value_name = "COLUMNS", conflicts_with = "json")]
    limit_width: Option<usize>,

    #[command(flatten)]
    trust: TrustArguments,

    #[command(flatten)]
    marks: MarkArguments,

    // Last, because its heading goes for all that follows.
    #[command(flatten)]
    inputs: InputArguments,
}

pub(crate) async fn run(arguments: Box<CallArguments>, console: &Console) -> Result<(), Failure> {
    let inputs = input::collect(&arguments.inputs)?;
    let started = Instant::now();
    let marks = Marks::new(&arguments.marks, &arguments.target, console)?;
    let ca = arguments.trust.ca.clone().or_else(|| saved_ca_for(&arguments.target.authority));
    let (target, timeout, streams) = (arguments.target.clone(), arguments.timeout, arguments.stream);
    let mut connection = Connection::open(target, timeout, &marks, ca.as_deref(), streams).await?;
    let mut call = Call { arguments: &arguments, console, total: inputs.len() as u64, answered: 0, shown: 0 };
    if streams {
        call.stream(&inputs, &mut connection).await?;
        connection.close().await;
        return call.say_goodbye(inputs.len(), started.elapsed());
    }
    let batches = call.batches(&inputs);
    let progress = Progress::new(console);
    let bar = (batches.len() > 1).then(|| progress.bar(call.total, "documents"));
    for batch in &batches {
        let documents = call.read(batch)?;
        let answer =
            connection.call(&call.request(documents)).await.map_err(|report| call.interrupted(report))?;
        let mut shown = Ok(());
        match &bar {
            Some(bar) => bar.suspend(|| shown = call.take(&answer, batch.len())),
            None => shown = call.take(&answer, batch.len()),
        }
        shown?;
        bar.iter().for_each(|bar| bar.inc(batch.len() as u64));
    }
    bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    connection.close().await;
    call.say_goodbye(batches.len(), started.elapsed())
}

/// One run of the command.
struct Call<'a> {
    arguments: &'a CallArguments,
    console: &'a Console,
    total: u64,
    answered: u64,
    /// Documents that came back.
    shown: u64,
}

impl Call<'_> {
    /// Sends each document by itself and shows what comes as it comes.
    async fn stream(&mut self, inputs: &[Input], connection: &mut Connection) -> Result<(), Failure> {
        if inputs.is_empty() {
            return Err(Failure::Usage(
                Report::new("a stream begins with a document, and there is none")
                    .hint("--text sends one; leave --stream out to call without documents"),
            ));
        }
        for input in inputs {
            let documents = self.read(std::slice::from_ref(input))?;
            let request = self.request(documents);
            let streamed = connection.stream(&request, &mut |answer| self.take(answer, 0)).await;
            match streamed {
                Ok(()) => self.answered += 1,
                Err(Failure::Reports(reports)) => {
                    return Err(Failure::Reports(
                        reports.into_iter().map(|report| self.broken_off(report)).collect(),
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Requests to be. JSON lines and other documents are read by different means and do not share one.
    fn batches<'i>(&self, inputs: &'i [Input]) -> Vec<&'i [Input]> {
        if inputs.is_empty() {
            return vec![&[]];
        }
        let is_json = |input: &Input| matches!(input, Input::Json { .. });
        inputs
            .chunk_by(|a, b| is_json(a) == is_json(b))
            .flat_map(|run| run.chunks(self.arguments.batch as usize))
            .collect()
    }

    fn read(&self, batch: &[Input]) -> Result<DocumentList, Report> {
        let contents = batch.iter().map(Input::load).collect::<Result<Vec<_>, _>>()?;
        if contents.iter().any(|content| matches!(content, Content::Json { .. })) {
            read_json(&contents)
        } else {
            build(contents)
        }
    }

    fn request(&self, documents: DocumentList) -> Request {
        let mut parameters = self.arguments.params.clone().unwrap_or_default();
        parameters.extend(self.arguments.param.iter().cloned());
        Request {
            id: Some(lockgate_domain::ids::fresh_hex_id()),
            endpoint: Some(self.arguments.endpoint.clone()),
            target_executor: self.arguments.target_executor.clone(),
            parameters: Parameters::new(parameters),
            documents,
            dialect: Dialect::DocArrayV1,
        }
    }

    /// Shows an answer, or says what an executor did wrong.
    fn take(&mut self, answer: &Answer, sent: usize) -> Result<(), Failure> {
        if let Some(problem) = &answer.failure {
            let report = match problem.executor() {
                Some(executor) => Report::new(format!("executor \"{executor}\" failed")).problem(problem),
                None => Report::from(problem),
            };
            let is_streamed = self.arguments.stream;
            return Err(if is_streamed { report } else { self.interrupted(report) }.into());
        }
        self.answered += sent as u64;
        if self.arguments.json { self.print_json(answer) } else { self.print(answer) }
    }

    fn print_json(&mut self, answer: &Answer) -> Result<(), Failure> {
        self.shown += u64::from(answer.documents.len());
        let text = json::encode_documents(&answer.documents);
        let documents: Vec<&RawValue> = serde_json::from_str(&text)
            .map_err(|error| Report::new("the answer cannot be written as JSON").because(&error))?;
        documents.iter().try_for_each(|document| self.console.line(document.get()))
    }

    fn print(&mut self, answer: &Answer) -> Result<(), Failure> {
        let count = u64::from(answer.documents.len());
        let room = self.arguments.show.saturating_sub(self.shown);
        let is_only = self.total <= 1 && count == 1 && !self.arguments.stream;
        let width = self.arguments.limit_width.unwrap_or_else(|| self.console.width());
        let lines = render::documents(&answer.documents, self.shown + 1, is_only, room, width);
        lines.iter().try_for_each(|line| self.console.line(line))?;
        self.shown += count;
        match answer.parameters.get(Parameters::RESULTS) {
            Some(Value::Object(results)) if !results.is_empty() => self.print_results(results, width),
            _ => Ok(()),
        }
    }

    fn print_results(&self, results: &Map<String, Value>, width: usize) -> Result<(), Failure> {
        results.iter().try_for_each(|(executor, result)| {
            let line = format!("{} {result}", measures::one_line(executor));
            self.console.line(format_args!("{FAINT}result{FAINT:#} {}", measures::shorten(&line, width)))
        })
    }

    /// How far it came, where that is not obvious.
    fn interrupted(&self, report: Report) -> Report {
        match (self.answered, self.total) {
            (0, _) => report,
            (answered, total) => report.hint(format!("{answered} of {total} documents were answered before")),
        }
    }

    /// What of a stream was shown before it broke off.
    fn broken_off(&self, report: Report) -> Report {
        match self.shown {
            0 => report,
            1 => report.hint("one document came before"),
            came => report.hint(format!("{came} documents came before")),
        }
    }

    fn say_goodbye(&self, requests: usize, took: Duration) -> Result<(), Failure> {
        if self.arguments.json {
            return Ok(());
        }
        if let Some(hidden) = self.shown.checked_sub(self.arguments.show).filter(|hidden| *hidden > 0) {
            let more = match hidden {
                1 => "1 more document".to_owned(),
                hidden => format!("{hidden} more documents"),
            };
            let more = format!("… {more} (--show {}, or --json)", self.shown);
            self.console.line(format_args!("{FAINT}{more}{FAINT:#}"))?;
        }
        if self.shown == 0 {
            self.console.note(format_args!("{FAINT}answered without documents{FAINT:#}"));
        }
        if requests > 1 {
            let took = measures::duration(took);
            let sent = self.total;
            self.console
                .note(format_args!("{FAINT}{sent} documents in {requests} requests, {took}{FAINT:#}"));
        }
        Ok(())
    }
}

fn build(contents: Vec<Content>) -> Result<DocumentList, Report> {
    let mut builder = DocumentListBuilder::new(Limits { documents: u32::MAX, ..Limits::default() });
    let fill = || -> Result<(), lockgate_domain::document::BuildError> {
        for content in contents {
            let Content::Plain { text, blob, uri, mime_type } = content else { continue };
            let row = builder.push_root()?;
            builder.set_text("id", row, &lockgate_domain::ids::fresh_hex_id())?;
            for (name, value) in
                [("text", text.as_deref()), ("uri", uri.as_deref()), ("mime_type", mime_type)]
            {
                if let Some(value) = value {
                    builder.set_text(name, row, value)?;
                }
            }
            if let Some(blob) = blob {
                builder.set_bytes("blob", row, blob)?;
            }
        }
        Ok(())
    };
    fill().map_err(|error| Report::new("the documents cannot be sent together").because(&error))?;
    builder.finish().map_err(|error| {
        Report::new("the documents cannot be sent together")
            .because(&error)
            .hint("--batch sends fewer in one request")
    })
}

fn read_json(contents: &[Content]) -> Result<DocumentList, Report> {
    let mut body = String::from("{\"data\":[");
    for (content, index) in contents.iter().zip(0..) {
        let Content::Json { text, origin } = content else { continue };
        // Each line by itself first: only so a mistake can be told by its line.
        let object: &RawValue = serde_json::from_str(text)
            .map_err(|error| Report::new(format!("{origin}: this is not JSON")).because(&error))?;
        if !object.get().trim_start().starts_with('{') {
            return Err(Report::new(format!("{origin}: a document is a JSON object"))
                .hint("such as {\"text\": \"hello\", \"tags\": {\"lang\": \"en\"}}"));
        }
        if index > 0 {
            body.push(',');
        }
        body.push_str(object.get());
    }
    body.push_str("]}");
    let limits = Limits { documents: 1 << 22, ..Limits::default() };
    let request = json::decode_request(body.as_bytes(), &limits).map_err(|problem| {
        let first = contents.iter().find_map(|content| match content {
            Content::Json { origin, .. } => Some(origin.as_str()),
            Content::Plain { .. } => None,
        });
        Report::new(format!("the documents from {} on cannot be read", first.unwrap_or("there")))
            .problem(&problem)
    })?;
    Ok(request.documents)
}

fn parse_parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as top_k=5")?;
    if name.is_empty() {
        return Err("expected NAME=VALUE with a name, such as top_k=5".into());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn parse_parameters(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("expected a JSON object: {error}"))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds, such as 30 or 0.5")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration.min(Duration::from_secs(24 * 60 * 60))),
        _ => Err("expected more than zero seconds".into()),
    }
}

#[cfg(test)]
mod tests;
