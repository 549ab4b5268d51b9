//! First of the quickstart's chain: texts without stray white space.
//!
//! Shows whole columns: two host calls for any number of documents. Refuses nothing.

use lockgate_sdk::prelude::*;

/// How texts are normalised.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Also turn every letter into lower case.
    lowercase: bool,
}

/// Normalises texts.
#[derive(Debug)]
pub struct Normalize {
    config: Config,
}

/// Trims texts and collapses their white space.
#[executor]
impl Normalize {
    #[init]
    fn new(config: Config) -> Self {
        Self { config }
    }

    /// Leaves one space between words and none around them; lower case where configured.
    #[endpoint("/default", reads("text"), writes("text"))]
    fn normalize(&mut self, documents: &mut Documents) -> Result<()> {
        documents.map_texts(|text| {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if self.config.lowercase { words.to_lowercase() } else { words }
        })
    }
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::prelude::*;

    use super::*;

    fn check(config: lockgate_sdk::serde_json::Value, text: &str, expected: &str) {
        let mut host = TestHost::new().config(config);
        let reply = host.call::<Normalize>("/any", documents![{ "text": text }]).unwrap();
        assert_eq!(reply.texts(), [expected]);
    }

    #[test]
    fn white_space_collapses() {
        check(json!({}), "  Hello,\t\n wide   World ", "Hello, wide World");
        check(json!({}), "\u{2003}\u{a0}", "");
        check(json!({ "lowercase": true }), "ÄÖ X", "äö x");
    }

    #[test]
    fn a_hundred_documents_cost_two_host_calls() {
        let texts = (0..100).map(|row| json!({ "text": format!(" {row} ") })).collect::<Vec<_>>();
        let reply = TestHost::new().call::<Normalize>("/any", json!(texts)).unwrap();
        assert_eq!(reply.host_calls(), ["len", "get_text_packed", "set_text_packed"]);
        assert_eq!(reply.texts().last().unwrap(), "99");
    }

    #[test]
    fn a_misspelt_configuration_is_refused() {
        let mut host = TestHost::new().config(json!({ "lower": true }));
        let error = host.call::<Normalize>("/any", documents![]).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("unknown field `lower`, expected `lowercase`"), "{error}");
    }
}
