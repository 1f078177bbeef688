//! The responses request as the `OpenAPI` document describes it; see the chat request's.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A request in the form of OpenAI's Responses API. Nothing is kept between requests: each carries
/// the whole conversation. Unknown fields are ignored, and `null` stands for "not given" in every
/// field that is not required.
#[derive(ToSchema)]
#[schema(as = ResponsesRequest)]
pub struct ResponsesRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "silica/tiny-chat")]
    pub model: String,
    /// The conversation.
    pub input: InputSchema,
    /// What stands before it.
    pub instructions: Option<String>,
    /// Whether to answer as a stream of events.
    #[schema(default = false)]
    pub stream: Option<bool>,
    /// The most tokens of the answer, reasoning included.
    #[schema(minimum = 1, default = 512)]
    pub max_output_tokens: Option<u32>,
    /// How freely tokens are drawn; 0 always takes the most likely one.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pub temperature: Option<f32>,
    /// Draws from the smallest set of tokens that reaches this probability.
    #[schema(exclusive_minimum = 0, maximum = 1, default = 1)]
    pub top_p: Option<f32>,
    /// How many alternatives to report per token, when `include` asks for log-probabilities.
    #[schema(minimum = 0, maximum = 20)]
    pub top_logprobs: Option<u8>,
    /// `message.output_text.logprobs` reports log-probabilities; other values have no effect.
    pub include: Option<Vec<String>>,
    /// Functions that the model may call.
    #[schema(max_items = 128)]
    pub tools: Option<Vec<FunctionToolSchema>>,
    /// Which of them it may or must call.
    pub tool_choice: Option<super::ToolSelection>,
    /// Repeated in the answer, without effect.
    #[schema(default = true)]
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub text: Option<TextSchema>,
    /// How much a model that can reason does so.
    pub reasoning: Option<ReasoningSchema>,
    /// Up to 16 pairs, repeated in the answer.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Has no effect: answers are never stored.
    pub store: Option<bool>,
    /// `auto` or `disabled`; nothing is ever cut off a conversation.
    pub truncation: Option<String>,
    /// Refused: no answers are stored.
    pub previous_response_id: Option<String>,
    /// Refused: no conversations are stored.
    pub conversation: Option<serde_json::Value>,
    /// Refused: no prompts are stored.
    pub prompt: Option<serde_json::Value>,
    /// Refused when `true`.
    pub background: Option<bool>,
}

/// A text or a list of items.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = ResponseInput)]
#[serde(untagged)]
pub enum InputSchema {
    /// What the person says.
    Text(String),
    /// Items: `message`, `reasoning`, `function_call` and `function_call_output`, as answers have them.
    Items(Vec<serde_json::Value>),
}

/// A function that the client runs.
#[derive(ToSchema)]
#[schema(as = ResponseTool)]
pub struct FunctionToolSchema {
    /// Always `function`.
    pub r#type: String,
    /// Its name.
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<serde_json::Value>,
    /// Whether the arguments must follow the schema exactly.
    #[schema(default = false)]
    pub strict: Option<bool>,
}

/// The form of an answer.
#[derive(ToSchema)]
#[schema(as = ResponseTextSettings)]
pub struct TextSchema {
    /// The form; free text when absent.
    pub format: Option<TextFormatSchema>,
}

/// The form of an answer.
#[derive(ToSchema)]
#[schema(as = ResponseTextFormat)]
pub struct TextFormatSchema {
    /// `text`, `json_object` or `json_schema`.
    pub r#type: String,
    /// A name, for `json_schema`.
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The schema, for `json_schema`.
    pub schema: Option<serde_json::Value>,
    /// Whether the answer must follow the schema exactly.
    pub strict: Option<bool>,
}

/// How much a model reasons.
#[derive(ToSchema)]
#[schema(as = ResponseReasoningRequest)]
pub struct ReasoningSchema {
    /// `none` switches reasoning off; every other value leaves it to the model.
    pub effort: Option<super::Effort>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::super::request::KNOWN;
    use super::*;

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        assert_eq!(
            crate::tests::documented_fields(&ResponsesRequestSchema::schema()),
            crate::tests::sorted(KNOWN)
        );
    }
}
