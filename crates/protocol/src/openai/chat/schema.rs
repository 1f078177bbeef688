//! The chat request as the `OpenAPI` document describes it.
//!
//! The request is read by hand (see `reader`), into a form that is checked and no longer the
//! wire's; these types describe the wire. A test keeps their field names equal to the reader's.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A chat request. Unknown fields are ignored, and `null` stands for "not given" in every field
/// that is not required.
#[derive(ToSchema)]
#[schema(as = ChatCompletionRequest)]
pub struct ChatCompletionRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "silica/tiny-chat")]
    pub model: String,
    /// The conversation.
    #[schema(min_items = 1)]
    pub messages: Vec<MessageSchema>,
    /// Whether to answer as a stream of events.
    #[schema(default = false)]
    pub stream: Option<bool>,
    /// Accepted for compatibility: usage is in every chunk anyway.
    pub stream_options: Option<StreamOptionsSchema>,
    /// The most tokens per choice.
    #[schema(minimum = 1, default = 512)]
    pub max_tokens: Option<u32>,
    /// The same; wins when both are given.
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<u32>,
    /// Texts that end the answer and are not part of it.
    pub stop: Option<StopSchema>,
    /// How freely tokens are drawn; 0 always takes the most likely one.
    #[schema(minimum = 0, maximum = 2, default = 0.7)]
    pub temperature: Option<f32>,
    /// Draws from the smallest set of tokens that reaches this probability.
    #[schema(exclusive_minimum = 0, maximum = 1, default = 0.7)]
    pub top_p: Option<f32>,
    /// Draws from this many of the most likely tokens; -1 from all.
    #[schema(minimum = -1, maximum = 100, default = 50)]
    pub top_k: Option<f32>,
    /// Drops tokens less likely than this share of the most likely one.
    #[schema(minimum = 0, maximum = 1, default = 0)]
    pub min_p: Option<f32>,
    /// Makes tokens less likely with each occurrence in the answer.
    #[schema(minimum = -2, maximum = 2, default = 0.5)]
    pub frequency_penalty: Option<f32>,
    /// Makes tokens less likely that occurred in the answer.
    #[schema(minimum = -2, maximum = 2, default = 0)]
    pub presence_penalty: Option<f32>,
    /// Bias by token id, -100 to 100.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// The number of choices.
    #[schema(minimum = 1, maximum = 20, default = 1)]
    pub n: Option<u32>,
    /// Makes the answer repeatable.
    pub seed: Option<i64>,
    /// Whether to report log-probabilities.
    #[schema(default = false)]
    pub logprobs: Option<bool>,
    /// How many alternatives to report per token.
    #[schema(minimum = 0, maximum = 20)]
    pub top_logprobs: Option<u8>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormatSchema>,
    /// Functions that the model may call.
    #[schema(max_items = 128)]
    pub tools: Option<Vec<ToolSchema>>,
    /// Which of them it may or must call.
    pub tool_choice: Option<ToolChoiceSchema>,
    /// Whether it may make several calls in one turn.
    #[schema(default = true)]
    pub parallel_tool_calls: Option<bool>,
    /// Text that the answer continues; with `suffix`, the text before the gap.
    pub prefix: Option<String>,
    /// The text after the gap.
    pub suffix: Option<String>,
    /// `prefix` and `suffix` in a nested form.
    pub extra_body: Option<ExtraBodySchema>,
    /// Whether a model that can reason does so.
    pub enable_thinking: Option<bool>,
    /// The most tokens of reasoning.
    #[schema(minimum = 128, maximum = 32768)]
    pub thinking_budget: Option<u32>,
}

/// One message.
#[derive(ToSchema)]
#[schema(as = ChatMessage)]
pub struct MessageSchema {
    /// Who said it; `user` when missing.
    pub role: Option<RoleSchema>,
    /// What was said; `null` only on assistant turns.
    pub content: Option<ContentSchema>,
    /// Earlier reasoning, read on assistant turns that call tools.
    pub reasoning_content: Option<String>,
    /// The calls that an assistant turn made.
    pub tool_calls: Option<Vec<super::ToolCall>>,
    /// For role `tool`: the call that this is the result of.
    pub tool_call_id: Option<String>,
    /// A participant's name.
    pub name: Option<String>,
}

/// Who said a message.
#[derive(ToSchema)]
#[schema(as = ChatRole, rename_all = "lowercase")]
pub enum RoleSchema {
    /// Instructions.
    System,
    /// The same as `system`.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// A text or a list of parts.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = ChatMessageContent)]
#[serde(untagged)]
pub enum ContentSchema {
    /// A text.
    Text(String),
    /// Parts; texts are joined by line breaks.
    Parts(Vec<PartSchema>),
}

/// One part of a message.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = ChatMessagePart)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PartSchema {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image, for models that see.
    ImageUrl {
        /// Where it is.
        image_url: ImageUrlSchema,
    },
}

/// An image.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = ImageUrl)]
pub struct ImageUrlSchema {
    /// An address, or a `data:` URL.
    pub url: String,
    /// `auto`, `low` or `high`.
    pub detail: Option<String>,
}

/// A text or up to four.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = StopTexts)]
#[serde(untagged)]
pub enum StopSchema {
    /// One text.
    One(String),
    /// Up to four.
    Several(Vec<String>),
}

/// What a stream contains.
#[derive(ToSchema)]
#[schema(as = StreamOptions)]
pub struct StreamOptionsSchema {
    /// Has no effect.
    pub include_usage: Option<bool>,
}

/// The form of the answer.
#[derive(ToSchema)]
#[schema(as = ResponseFormat)]
pub struct ResponseFormatSchema {
    /// `text`, `json_object` or `json_schema`.
    pub r#type: String,
    /// The schema, for `json_schema`.
    pub json_schema: Option<JsonSchemaFormSchema>,
}

/// A schema that the answer must follow.
#[derive(ToSchema)]
#[schema(as = JsonSchemaForm)]
pub struct JsonSchemaFormSchema {
    /// Has no effect.
    pub name: Option<String>,
    /// Has no effect.
    pub description: Option<String>,
    /// JSON Schema; any object where it is not given.
    pub schema: Option<serde_json::Value>,
    /// Has no effect: the schema is always followed.
    pub strict: Option<bool>,
}

/// A tool.
#[derive(ToSchema)]
#[schema(as = Tool)]
pub struct ToolSchema {
    /// Always `function`.
    pub r#type: String,
    /// The function.
    pub function: FunctionSchema,
}

/// A function that the model may call.
#[derive(ToSchema)]
#[schema(as = ToolFunction)]
pub struct FunctionSchema {
    /// Its name.
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<serde_json::Value>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: Option<bool>,
}

/// `auto`, `none`, `required`, or one function.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = ToolChoice)]
#[serde(untagged)]
pub enum ToolChoiceSchema {
    /// `auto`, `none` or `required`.
    Mode(String),
    /// One function.
    Function {
        /// Always `function`.
        r#type: String,
        /// Which.
        function: NamedFunctionSchema,
    },
}

/// A function's name.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = NamedFunction)]
pub struct NamedFunctionSchema {
    /// The name.
    pub name: String,
}

/// Fields that some samples nest.
#[derive(ToSchema)]
#[schema(as = ExtraBody)]
pub struct ExtraBodySchema {
    /// As at the top level, which wins.
    pub prefix: Option<String>,
    /// As at the top level, which wins.
    pub suffix: Option<String>,
}
