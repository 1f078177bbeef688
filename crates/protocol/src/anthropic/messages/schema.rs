//! The messages request as the `OpenAPI` document describes it; see the chat request's.

use utoipa::ToSchema;

/// A request in Anthropic's form. Unknown fields are ignored, and `null` stands for "not given" in
/// every field that is not required.
#[derive(ToSchema)]
#[schema(as = MessagesRequest)]
pub struct MessagesRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "silica/tiny-chat")]
    pub model: String,
    /// The conversation; the answer continues an assistant's turn at its end.
    #[schema(min_items = 1)]
    pub messages: Vec<AnthropicMessageSchema>,
    /// Instructions.
    pub system: Option<BlocksSchema>,
    /// The most tokens of the answer, reasoning included.
    #[schema(minimum = 1)]
    pub max_tokens: u32,
    /// Up to four texts that end the answer and are not part of it.
    #[schema(max_items = 4)]
    pub stop_sequences: Option<Vec<String>>,
    /// Whether to answer as a stream of events.
    #[schema(default = false)]
    pub stream: Option<bool>,
    /// How freely tokens are drawn; 0 always takes the most likely one.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pub temperature: Option<f32>,
    /// Draws from the smallest set of tokens that reaches this probability.
    #[schema(exclusive_minimum = 0, maximum = 1, default = 1)]
    pub top_p: Option<f32>,
    /// Draws from this many of the most likely tokens; 0 from all.
    #[schema(minimum = -1, default = 0)]
    pub top_k: Option<u32>,
    /// Tools that the model may call.
    #[schema(max_items = 128)]
    pub tools: Option<Vec<AnthropicToolSchema>>,
    /// Which of them it may or must call.
    pub tool_choice: Option<AnthropicToolChoiceSchema>,
    /// Whether a model that can reason does so.
    pub thinking: Option<AnthropicThinkingSchema>,
    /// The form of the answer, under `format`; `effort` has no effect.
    pub output_config: Option<serde_json::Value>,
}

/// A request for the size of a prompt. Fields that say nothing about the prompt are ignored.
#[derive(ToSchema)]
#[schema(as = TokenCountRequest)]
pub struct TokenCountRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "silica/tiny-chat")]
    pub model: String,
    /// The conversation.
    #[schema(min_items = 1)]
    pub messages: Vec<AnthropicMessageSchema>,
    /// Instructions.
    pub system: Option<BlocksSchema>,
    /// Tools that the model may call.
    #[schema(max_items = 128)]
    pub tools: Option<Vec<AnthropicToolSchema>>,
    /// Which of them it may or must call.
    pub tool_choice: Option<AnthropicToolChoiceSchema>,
    /// Whether a model that can reason does so.
    pub thinking: Option<AnthropicThinkingSchema>,
}

/// One message.
#[derive(ToSchema)]
#[schema(as = AnthropicInputMessage)]
pub struct AnthropicMessageSchema {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// What was said.
    pub content: BlocksSchema,
}

/// A text or a list of blocks.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = AnthropicContent)]
#[serde(untagged)]
pub enum BlocksSchema {
    /// A text.
    Text(String),
    /// Blocks: `text`; of users `image` and `tool_result`; of assistants `thinking` and `tool_use`.
    Blocks(Vec<serde_json::Value>),
}

/// A tool that the client runs.
#[derive(ToSchema)]
#[schema(as = AnthropicTool)]
pub struct AnthropicToolSchema {
    /// Its name.
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its input.
    pub input_schema: serde_json::Value,
}

/// Which tools may or must be called.
#[derive(ToSchema)]
#[schema(as = AnthropicToolChoice)]
pub struct AnthropicToolChoiceSchema {
    /// `auto`, `any`, `tool` or `none`.
    pub r#type: String,
    /// Which tool, for `tool`.
    pub name: Option<String>,
}

/// Whether a model reasons.
#[derive(ToSchema)]
#[schema(as = AnthropicThinking)]
pub struct AnthropicThinkingSchema {
    /// `enabled` or `disabled`.
    pub r#type: String,
    /// The most tokens of reasoning, for `enabled`.
    #[schema(minimum = 1)]
    pub budget_tokens: Option<u32>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::super::request::KNOWN;
    use super::*;

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        assert_eq!(
            crate::tests::documented_fields(&MessagesRequestSchema::schema()),
            crate::tests::sorted(KNOWN)
        );
    }
}
