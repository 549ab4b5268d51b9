//! Options and commands of Jina's that are none here: why, and what to type instead.
//!
//! Most options are keys of a flow file as well, and the flow file's own rules say what became of them; the tables here
//! are for the rest.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use lockgate_flow::yaml::{Rule, find_key};

use crate::failure::Report;

/// Options that are no keys of a flow file.
const OPTIONS: &[(&str, &str)] = &[
    ("uses", "the command takes the file itself: `lockgate up flow.yml`"),
    ("quiet", "--log-level says what is logged: --log-level error"),
    ("quiet-error", "--log-level says what is logged: --log-level off"),
    ("native", "executors always run inside this process: leave it out"),
    ("runtime-cls", "there is one kind of runtime: leave it out"),
    ("pod-role", "executors run inside this process: leave it out"),
    ("shard-id", "shards live in one process: write `shards` in the flow file"),
    ("replica-id", "replicas live in one process: --replicas says how many"),
    ("noblock-on-start", "the command serves until it is told to end: leave it out"),
    ("suppress-root-logging", "--log-level says what is logged: --log-level off"),
    ("workspace-id", "executors have no file system: leave it out"),
    ("extra-search-paths", "paths in a flow file start at its folder: write the whole path"),
    ("disable-auto-volume", "executors run without containers: leave it out"),
    ("force-network-mode", "executors run without containers: leave it out"),
    ("k8s-namespace", "`lockgate export kubernetes FLOW.yml FOLDER --namespace NAME` writes it"),
    ("provider", "executors run in this host: leave it out"),
    ("provider-endpoint", "executors run in this host: leave it out"),
    ("proxy", "the host uses no proxy: leave it out"),
    ("connection-list", "shards live in one process: write `shards` in the flow file"),
    ("uses-before-address", "write `uses_before` in the flow file"),
    ("uses-after-address", "write `uses_after` in the flow file"),
    ("deployments-disable-reduce", "call it --deployments-no-reduce"),
    ("deployment-role", "leave it out"),
    ("network_name", "the network is `default` of the compose file: leave it out"),
    ("vertical-layout", "`--vertical` draws from top to bottom"),
    ("yaml-path", "the schema goes to standard output: `lockgate export schema > flow.schema.json`"),
    ("json-path", "the schema goes to standard output: `lockgate export schema > flow.schema.json`"),
    ("schema-path", "the schema goes to standard output: `lockgate export schema > flow.schema.json`"),
    ("asyncio", "`lockgate call` waits for each answer; several of it may run at once"),
];

/// Commands of Jina's.
const COMMANDS: &[(&str, &str)] = &[
    (
        "hub",
        "`lockgate new` makes an executor, `lockgate publish` hands it to a host, `lockgate component list` shows what is there",
    ),
    ("auth", "`lockgate login` saves a key, `lockgate key create` makes one"),
    ("cloud", "`lockgate serve` is a host for many tenants: it runs where you start it"),
    ("pod", "`lockgate executor --uses X.wasm` serves one executor"),
];

/// What to say of a word that clap does not know; none leaves it to clap.
pub(crate) fn explain(error: &clap::Error) -> Option<Report> {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg)?;
            let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
            let takes_url = ["lockgate call", "lockgate ping"].iter().any(|command| usage.contains(command));
            if takes_url { address(word) } else { None }.or_else(|| option(word))
        }
        ErrorKind::InvalidSubcommand => command(text(ContextKind::InvalidSubcommand)?),
        _ => None,
    }
}

fn command(word: &str) -> Option<Report> {
    let (_, hint) = COMMANDS.iter().find(|(name, _)| *name == word)?;
    Some(Report::new(format!("there is no command {word}")).hint(*hint))
}

/// Where to send something is three options in Jina's client, and one URL here.
fn address(word: &str) -> Option<Report> {
    let name = word.split('=').next().filter(|name| matches!(*name, "--host" | "--port" | "--protocol"))?;
    Some(
        Report::new(format!("{name} is no option of this command"))
            .hint("write a URL: grpc://HOST:PORT, http://HOST:PORT or ws://HOST:PORT"),
    )
}

fn option(word: &str) -> Option<Report> {
    let name = word.strip_prefix("--")?;
    let name = name.split('=').next()?;
    if let Some((_, hint)) = OPTIONS.iter().find(|(known, _)| *known == name) {
        return Some(Report::new(format!("--{name} means nothing here")).hint(*hint));
    }
    let key = name.replace('-', "_");
    let found = find_key(&key);
    let (place, rule) = found.iter().find(|(_, rule)| *rule == Rule::Taken).or_else(|| found.first())?;
    Some(match rule {
        Rule::Taken => Report::new(format!("--{name} is no option of this command"))
            .hint(format!("write `{key}: ...` {place}, in a flow file for --uses")),
        Rule::Ignored(reason) => {
            Report::new(format!("--{name} means nothing here: {reason}")).hint("leave it out")
        }
        Rule::Later => Report::new(format!("--{name} is not supported yet")).hint("leave it out"),
        Rule::Refused(hint) => Report::new(format!("--{name} means nothing here")).hint(*hint),
    })
}

/// One line for each place of the flow file where a key has a meaning, or once had one.
pub(crate) fn key_lines(name: &str) -> Vec<String> {
    let line = |(place, rule): &(&str, Rule)| match rule {
        Rule::Taken => format!("{name}: a key {place}"),
        Rule::Ignored(reason) => format!("{name}: a key {place}, ignored: {reason}"),
        Rule::Later => format!("{name}: a key {place}, not supported yet"),
        Rule::Refused(hint) => format!("{name}: not a key {place}: {hint}"),
    };
    find_key(name).iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::Arguments;

    #[test]
    fn foreign_words_are_explained() {
        let check = |line: &str, expected: Option<&str>| {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            let told = super::explain(&error).map(|report| report.render());
            let told = told.map(|text| anstream::adapter::strip_str(&text).to_string());
            assert_eq!(told.as_deref(), expected, "{line}: {error}");
        };
        check(
            "lockgate flow --uses flow.yml --log-config x",
            Some(
                "error: --log-config means nothing here: logs are set on the command line\nhint: leave it out",
            ),
        );
        check(
            "lockgate executor --uses x.wasm --volumes /a",
            Some(
                "error: --volumes means nothing here\nhint: executors are sandboxed components and run without containers: remove it",
            ),
        );
        check(
            "lockgate deployment --uses x.wasm --native",
            Some(
                "error: --native means nothing here\nhint: executors always run inside this process: leave it out",
            ),
        );
        check(
            "lockgate deployment --uses x.wasm --limits 3",
            Some(
                "error: --limits is no option of this command\nhint: write `limits: ...` under an entry of `executors:`, in a flow file for --uses",
            ),
        );
        check(
            "lockgate hub push .",
            Some(
                "error: there is no command hub\nhint: `lockgate new` makes an executor, `lockgate publish` hands it to a host, `lockgate component list` shows what is there",
            ),
        );
        check(
            "lockgate up --uses flow.yml",
            Some(
                "error: --uses means nothing here\nhint: the command takes the file itself: `lockgate up flow.yml`",
            ),
        );
        check(
            "lockgate client --text a --host 10.0.0.7",
            Some(
                "error: --host is no option of this command\nhint: write a URL: grpc://HOST:PORT, http://HOST:PORT or ws://HOST:PORT",
            ),
        );
        check("lockgate up flow.yml --prot 3", None);
        check("lockgate flwo", None);
    }
}
