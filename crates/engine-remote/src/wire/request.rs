//! The request. What the caller left at "no effect" is left out, because strict servers refuse
//! names that they do not know.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use silica_engine::{AnswerForm, ChatRequest, Message, Tool, ToolCall, ToolChoice};
use silica_types::ImageDetail;

/// The body of `POST /chat/completions`.
#[derive(Debug, Serialize)]
pub(crate) struct ChatBody<'a> {
    model: &'a str,
    messages: Vec<MessageBody<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    min_p: f32,
    #[serde(skip_serializing_if = "is_zero")]
    frequency_penalty: f32,
    #[serde(skip_serializing_if = "is_zero")]
    presence_penalty: f32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "is_one")]
    n: u32,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Typed<FunctionBody<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    /// What vLLM, `SGLang` and llama-server hand to the chat template.
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template_kwargs: Option<TemplateArguments>,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
    /// A word of vLLM and `SGLang`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continuous_usage_stats: bool,
}

#[derive(Debug, Serialize)]
struct TemplateArguments {
    enable_thinking: bool,
}

#[derive(Debug, Serialize)]
struct MessageBody<'a> {
    role: &'static str,
    /// `null` for a turn of nothing but tool calls, as OpenAI writes it.
    content: Option<ContentBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ContentBody<'a> {
    Text(&'a str),
    Parts(Vec<PartBody<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartBody<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageBody<'a> },
}

#[derive(Debug, Serialize)]
struct ImageBody<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<ImageDetail>,
}

#[derive(Debug, Serialize)]
struct ToolCallBody<'a> {
    id: &'a str,
    #[serde(flatten)]
    call: Typed<CallBody<'a>>,
}

/// Something about a function; there is no other type.
#[derive(Debug, Serialize)]
struct Typed<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: T,
}

#[derive(Debug, Serialize)]
struct CallBody<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Debug, Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

impl<'a> ChatBody<'a> {
    /// Writes a request for the model that the engine knows as `model`. Continuations and a
    /// thinking budget have no place in it. `continuous_usage` asks for usage in every frame.
    pub(crate) fn new(model: &'a str, request: &'a ChatRequest, continuous_usage: bool) -> Self {
        let sampling = &request.sampling;
        // A choice of none hides the tools, which needs no word that some server does not know.
        let tools: Vec<_> = if request.tool_choice.shows_tools() {
            request.tools.iter().map(tool).collect()
        } else {
            Vec::new()
        };
        Self {
            model,
            messages: request.messages.iter().map(message).collect(),
            stream: true,
            stream_options: StreamOptions {
                include_usage: true,
                continuous_usage_stats: continuous_usage,
            },
            max_tokens: request.max_tokens.get(),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            min_p: sampling.min_p,
            frequency_penalty: sampling.frequency_penalty,
            presence_penalty: sampling.presence_penalty,
            logit_bias: sampling.logit_bias.iter().copied().collect(),
            seed: sampling.seed,
            n: request.choices,
            stop: &request.stop,
            logprobs: request.logprobs.map(|_| true),
            top_logprobs: request.logprobs,
            parallel_tool_calls: (!tools.is_empty() && !request.parallel_calls).then_some(false),
            tools,
            tool_choice: tool_choice(&request.tool_choice),
            response_format: response_format(&request.form),
            chat_template_kwargs: request
                .thinking
                .enabled
                .map(|enable_thinking| TemplateArguments { enable_thinking }),
        }
    }
}

fn message(message: &Message) -> MessageBody<'_> {
    let is_only_calls = message.content.is_empty() && !message.tool_calls.is_empty();
    MessageBody {
        role: message.role.as_str(),
        content: (!is_only_calls).then(|| content(message)),
        reasoning_content: message.reasoning.as_deref(),
        tool_calls: message.tool_calls.iter().map(tool_call).collect(),
        tool_call_id: message.tool_call_id.as_deref(),
        name: message.name.as_deref(),
    }
}

fn content(message: &Message) -> ContentBody<'_> {
    if message.images.is_empty() {
        return ContentBody::Text(&message.content);
    }
    let mut parts = Vec::with_capacity(2 * message.images.len() + 1);
    let mut from = 0;
    for image in &message.images {
        parts.extend(text_part(&message.content[from..image.at]));
        from = image.at;
        parts.push(PartBody::ImageUrl {
            image_url: ImageBody {
                url: &image.url,
                detail: image.detail,
            },
        });
    }
    parts.extend(text_part(&message.content[from..]));
    ContentBody::Parts(parts)
}

/// A part of text; of no text none, which some servers refuse.
fn text_part(text: &str) -> Option<PartBody<'_>> {
    (!text.is_empty()).then_some(PartBody::Text { text })
}

fn tool_call(call: &ToolCall) -> ToolCallBody<'_> {
    ToolCallBody {
        id: &call.id,
        call: function(CallBody {
            name: &call.name,
            arguments: &call.arguments,
        }),
    }
}

fn tool(tool: &Tool) -> Typed<FunctionBody<'_>> {
    function(FunctionBody {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: tool.parameters.as_ref(),
        strict: tool.strict,
    })
}

/// A choice that forces a call; the others need no word.
fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "function": {"name": name}})),
    }
}

/// A schema must have a name there.
fn response_format(form: &AnswerForm) -> Option<Value> {
    match form {
        AnswerForm::Text => None,
        AnswerForm::JsonObject => Some(json!({"type": "json_object"})),
        AnswerForm::JsonSchema(schema) => Some(json!({
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": **schema, "strict": true},
        })),
    }
}

const fn function<T>(function: T) -> Typed<T> {
    Typed {
        kind: "function",
        function,
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &f32) -> bool {
    *number == 0.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_one(number: &u32) -> bool {
    *number == 1
}
