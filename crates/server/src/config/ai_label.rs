//! `[ai_label]`: what generated content says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_api::{AiLabel, InvalidAiLabel};

use super::InvalidValue;

/// What generated content says of itself, where the law wants it to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AiLabelConfig {
    /// A text of up to 200 characters, such as `AI-generated`, that each generated answer carries as metadata: in the header
    /// `x-silica-ai-label` (percent-encoded beyond ASCII) and as the member `ai_label` of its JSON, of a
    /// stream in its first frame. Unset: no label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

impl AiLabelConfig {
    /// The label as the API takes it.
    ///
    /// # Errors
    /// When the text is none.
    pub(crate) fn label(&self) -> Result<Option<AiLabel>, InvalidAiLabel> {
        self.text.as_deref().map(AiLabel::new).transpose()
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        let invalid = |error: InvalidAiLabel| InvalidValue {
            key: "ai_label.text",
            message: error.to_string(),
        };
        self.label().map(drop).map_err(invalid)
    }
}
