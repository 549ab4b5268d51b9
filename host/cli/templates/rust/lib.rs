//! An executor: a struct whose methods transform a list of documents.

use lockgate_sdk::prelude::*;

/// What the executor reads as its configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is put at the end of every text.
    suffix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { suffix: "!".into() }
    }
}

/// Says texts louder.
#[derive(Debug)]
pub struct {type} {
    config: Config,
}

/// Says texts louder.
#[executor]
impl {type} {
    #[init]
    fn new(config: Config) -> Result<Self> {
        Ok(Self { config })
    }

    /// Upper-cases every text and adds the suffix.
    #[endpoint("/{endpoint}", reads("text"), writes("text"))]
    fn {method}(&mut self, documents: &mut Documents) -> Result<()> {
        documents.map_texts(|text| text.to_uppercase() + &self.config.suffix)
    }
}

#[cfg(test)]
mod tests {
    use lockgate_sdk::prelude::*;

    use super::*;

    #[test]
    fn texts_become_louder() {
        let mut host = TestHost::new().config(json!({ "suffix": "?" }));
        let reply = host.call::<{type}>("/{endpoint}", documents![{ "text": "hello" }]).unwrap();
        assert_eq!(reply.texts(), ["HELLO?"]);
    }
}
