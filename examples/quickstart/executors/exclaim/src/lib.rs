//! Last of the quickstart's chain: texts with an ending, counted in their tags.
//!
//! Shows the row loop: it reads like work on one document and costs one host call per column.
//! Tags that other executors set are kept.

use lockgate_sdk::prelude::*;

/// How texts end.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is put at the end.
    suffix: String,
}

/// What one request may ask for.
#[derive(Debug, Deserialize, Parameters)]
#[serde(default, deny_unknown_fields)]
pub struct Emphasis {
    /// How often the suffix is put at the end, 1 to 10.
    times: u32,
}

/// Ends texts with the configured suffix.
#[derive(Debug)]
pub struct Exclaim {
    config: Config,
}

/// Ends texts with a suffix and counts it in their tags.
#[executor]
impl Exclaim {
    #[init]
    fn new(config: Config) -> Result<Self> {
        ensure!(!config.suffix.is_empty(), InvalidArgument, "the suffix is empty");
        Ok(Self { config })
    }

    /// Puts the suffix at the end of every text and adds its length to the tag `exclaimed`.
    #[endpoint("/default", reads("text", "tags"), writes("text", "tags"))]
    fn exclaim(&mut self, documents: &mut Documents, emphasis: Emphasis) -> Result<()> {
        ensure!(
            (1..=10).contains(&emphasis.times),
            InvalidArgument,
            "times is {}, not 1 to 10",
            emphasis.times
        );
        let suffix = self.config.suffix.repeat(emphasis.times as usize);
        let letters = suffix.chars().count();
        documents.for_each(|document| {
            document.set_text(document.text()?.to_owned() + &suffix);
            let Exclaimed { exclaimed } = document.tags()?;
            document.set_tag("exclaimed", exclaimed + letters)
        })
    }
}

/// The tag that is counted up; the others stay as they are.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Exclaimed {
    exclaimed: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { suffix: "!".into() }
    }
}

impl Default for Emphasis {
    fn default() -> Self {
        Self { times: 1 }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::prelude::*;

    use super::*;

    #[test]
    fn texts_end_and_tags_count() {
        let mut host = TestHost::new().config(json!({ "suffix": "?!" })).parameters(json!({ "times": 2 }));
        let reply = host
            .call::<Exclaim>(
                "/any",
                documents![{ "text": "what" }, { "text": "", "tags": { "exclaimed": 1, "by": "me" } }],
            )
            .unwrap();
        assert_eq!(reply.texts(), ["what?!?!", "?!?!"]);
        assert_eq!(reply.tags(), [json!({ "exclaimed": 4 }), json!({ "by": "me", "exclaimed": 5 })]);
        let each_column_once =
            ["parameters", "len", "get_text_packed", "get_json", "set_text_packed", "set_json"];
        assert_eq!(reply.host_calls(), each_column_once);
    }

    #[test]
    fn nonsense_is_refused() {
        fn check(
            config: lockgate_sdk::serde_json::Value,
            parameters: lockgate_sdk::serde_json::Value,
            expected: &str,
        ) {
            let mut host = TestHost::new().config(config).parameters(parameters);
            let error = host.call::<Exclaim>("/any", documents![{ "text": "a" }]).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(expected), "{error}");
        }
        check(json!({ "suffix": "" }), json!({}), "the suffix is empty");
        check(json!({}), json!({ "times": 11 }), "times is 11");
        check(json!({}), json!({ "time": 2 }), "the request's parameters: unknown field `time`");
    }

    #[test]
    fn the_manifest_tells_callers_what_they_may_send() {
        let manifest = TestHost::manifest::<Exclaim>().unwrap();
        let expected = json!({
            "name": "exclaim",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Ends texts with a suffix and counts it in their tags.",
            "stateful": false,
            "endpoints": [{
                "name": "/default",
                "description": "Puts the suffix at the end of every text and adds its length to the tag `exclaimed`.",
                "reads": ["text", "tags"],
                "writes": ["text", "tags"],
                "parameters": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "times": { "type": "integer", "minimum": 0, "description": "How often the suffix is put at the end, 1 to 10." },
                    },
                },
                "streaming": false,
            }],
        });
        assert_eq!(manifest, expected);
    }
}
