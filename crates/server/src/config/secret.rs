//! A secret in the configuration.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use silica_types::Secret;

/// A secret, printed masked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct ConfiguredSecret(Secret);

impl ConfiguredSecret {
    pub(crate) const fn get(&self) -> &Secret {
        &self.0
    }
}

impl Serialize for ConfiguredSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl JsonSchema for ConfiguredSecret {
    fn schema_name() -> Cow<'static, str> {
        "secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let secret: ConfiguredSecret = serde_json::from_str("\"sk-abc\"").unwrap();
        assert_eq!(secret.get().expose(), "sk-abc");
        let shown = [format!("{secret:?}"), serde_json::to_string(&secret).unwrap()];
        assert!(shown.iter().all(|shown| !shown.contains("abc")), "{shown:?}");
    }
}
