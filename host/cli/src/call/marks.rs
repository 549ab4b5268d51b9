//! What says, beside the documents, who calls and what is meant on a host with many tenants: the same headers over HTTP,
//! gRPC and the WebSocket handshake.

use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use lockgate_domain::FlowName;
use lockgate_domain::hosting::ExecutorReference;
use tonic::metadata::MetadataMap;

use crate::call::target::Target;
use crate::console::Console;
use crate::control::{read_secret, saved_key_for};
use crate::failure::{Failure, Report};

const FLOW: HeaderName = HeaderName::from_static("lockgate-flow");
const EXECUTOR: HeaderName = HeaderName::from_static("lockgate-executor");

/// Which flow or executor of a host with many tenants, and who calls.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "On a host with many tenants")]
pub(crate) struct MarkArguments {
    /// The flow that is meant [default: the tenant's only one]
    #[arg(long, value_name = "FLOW", conflicts_with = "executor")]
    flow: Option<FlowName>,

    /// An executor on its own: shout, shout:stable or shout@3
    #[arg(long, value_name = "EXECUTOR")]
    executor: Option<ExecutorReference>,

    /// API key, '-' for standard input [default: the saved login's, for its host]. Prefer LOCKGATE_KEY: others see arguments
    #[arg(long, value_name = "KEY", env = "LOCKGATE_KEY", hide_env_values = true)]
    key: Option<String>,
}

/// Headers that go with every request.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<(HeaderName, String)>);

impl Marks {
    /// The headers for these arguments.
    pub(crate) fn new(
        arguments: &MarkArguments,
        target: &Target,
        console: &Console,
    ) -> Result<Self, Failure> {
        let key = match arguments.key.as_deref() {
            None | Some("") => saved_key_for(&target.authority, target.tls),
            Some("-") => Some(read_secret("API key", console)?.trim().to_owned()),
            Some(key) => Some(key.to_owned()),
        };
        let text = |name: Option<String>, header: HeaderName| name.map(|name| (header, name));
        let marks = [
            text(arguments.flow.as_ref().map(ToString::to_string), FLOW),
            text(arguments.executor.as_ref().map(ToString::to_string), EXECUTOR),
            text(key.map(|key| format!("Bearer {key}")), AUTHORIZATION),
        ];
        Ok(Self(marks.into_iter().flatten().collect()))
    }

    /// For HTTP and the WebSocket handshake.
    pub(super) fn headers(&self) -> Result<HeaderMap, Report> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.0 {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                Report::new(format!("the value of {name} has characters that cannot be sent"))
                    .hint("is the key complete and on one line?")
            })?;
            value.set_sensitive(*name == AUTHORIZATION);
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }

    /// For gRPC.
    pub(super) fn metadata(&self) -> Result<MetadataMap, Report> {
        Ok(MetadataMap::from_headers(self.headers()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        marks: MarkArguments,
    }

    #[test]
    fn arguments_become_headers() {
        let console = Console::new(crate::args::Color::Never, crate::args::LogLines::Pretty);
        let check = |words: &[&str], expected: &[(&str, &str)]| {
            let arguments = Wrapper::try_parse_from([&["call"], words].concat()).unwrap().marks;
            // Nobody saves a login for this host.
            let marks =
                Marks::new(&arguments, &"http://nobody.example:1".parse().unwrap(), &console).unwrap();
            let headers = marks.headers().unwrap();
            let mut told: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            told.sort_unstable();
            assert_eq!(told, expected);
            assert_eq!(marks.metadata().unwrap().len(), expected.len());
        };
        check(&[], &[]);
        check(&["--flow", "search"], &[("lockgate-flow", "search")]);
        check(
            &["--executor", "shout@3", "--key", "lg_a_b"],
            &[("authorization", "Bearer lg_a_b"), ("lockgate-executor", "shout@3")],
        );
        let broken = Marks(vec![(AUTHORIZATION, "Bearer a\nb".into())]);
        assert!(broken.headers().is_err());
        assert!(Wrapper::try_parse_from(["call", "--flow", "a", "--executor", "b"]).is_err());
    }
}
