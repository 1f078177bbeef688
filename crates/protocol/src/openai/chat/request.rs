//! The body of a chat request.

use serde::Serialize;
use serde_json::value::RawValue;
use silica_types::MediaParts;

use super::message::{self, ChatMessage, Conversation, messages};
use super::tool::{ToolChoice, ToolDefinition, tool_choice, tools};
use crate::parameters::{
    Lowest, ResponseFormat, TopK, choices, integer_within, logit_bias, max_tokens, model, response_format,
    seed, stop, stream_options, top_k, within,
};
use crate::reader::{ListMember, Object, Path, boolean, string};
use crate::{ApiError, ErrorCode, ForwardableBody, MemberSpans, RequestBody};

/// A chat request, read and checked. `None` and empty lists mean "not given"; the handler fills
/// in the defaults. Fields that the API tolerates without effect (`user`, `stream_options`,
/// `reasoning_effort` and unknown ones) are not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatCompletionRequest {
    /// The model's catalogue name, not empty.
    pub model: String,
    /// The conversation, at least one message.
    pub messages: Vec<ChatMessage>,
    /// Whether to answer as a stream of events.
    pub stream: bool,
    /// The most tokens per choice, at least 1.
    pub max_tokens: Option<u32>,
    /// Texts that end the answer: up to 4 of up to 1024 bytes, none empty.
    pub stop: Vec<String>,
    /// 0 to 2.
    pub temperature: Option<f32>,
    /// Above 0, up to 1.
    pub top_p: Option<f32>,
    /// All, or 1 to 100.
    pub top_k: Option<TopK>,
    /// 0 to 1.
    pub min_p: Option<f32>,
    /// -2 to 2.
    pub frequency_penalty: Option<f32>,
    /// -2 to 2.
    pub presence_penalty: Option<f32>,
    /// Bias by token id, -100 to 100; no id twice.
    pub logit_bias: Vec<(u32, f32)>,
    /// The number of choices, 1 to 20.
    pub n: Option<u32>,
    /// The seed of the draw.
    pub seed: Option<u64>,
    /// Log-probabilities with this many alternatives (0 to 20), if asked for.
    pub logprobs: Option<u8>,
    /// The form of the answer.
    pub response_format: ResponseFormat,
    /// Functions that the model may call, up to 128.
    pub tools: Vec<ToolDefinition>,
    /// Which of them it may or must call.
    pub tool_choice: ToolChoice,
    /// Whether it may make several calls in one turn.
    pub parallel_tool_calls: bool,
    /// Text that the answer continues, or the text before the gap. Not empty.
    pub prefix: Option<String>,
    /// The text after the gap; may be empty when `prefix` is there.
    pub suffix: Option<String>,
    /// Whether a hybrid model thinks first.
    pub enable_thinking: Option<bool>,
    /// The most reasoning tokens, 128 to 32768.
    pub thinking_budget: Option<u32>,
}

impl ChatCompletionRequest {
    /// The image, audio and video parts of all messages.
    pub fn media(&self) -> MediaParts {
        self.messages.iter().map(|message| message.media).sum()
    }
}

const KNOWN: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "n",
    "seed",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "prefix",
    "suffix",
    "extra_body",
    "enable_thinking",
    "thinking_budget",
];

impl RequestBody for ChatCompletionRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        Self::from_json_with_spans(text).map(|(request, _)| request)
    }
}

impl ForwardableBody for ChatCompletionRequest {
    fn from_json_with_spans(text: &str) -> Result<(Self, MemberSpans), ApiError> {
        // Of a request with a fault, the reader that looks at one member after the other knows which is
        // told.
        if let Some(read) = Self::read_at_once(text) {
            return Ok(read);
        }
        let (body, spans) = Object::read_forwardable(text, KNOWN)?;
        Ok((
            Self::read(&body, |body| body.optional("messages", messages))?,
            spans,
        ))
    }
}

impl ChatCompletionRequest {
    /// Reads a request whose messages are looked at where they stand, so that a long conversation is
    /// passed over once. `None` when anything is wrong with it.
    fn read_at_once(text: &str) -> Option<(Self, MemberSpans)> {
        let mut conversation = Conversation::default();
        let mut add = |message: &Object<'_, '_>| {
            conversation.has_room(Path::Root)?;
            conversation.add(message)
        };
        let list = ListMember::new("messages", message::KNOWN, &mut add);
        let (body, spans) = Object::read_forwardable_at_once(text, KNOWN, list)?;
        let messages = conversation.end(Path::Root).ok()?;
        let read = Self::read(&body, |_| Ok(Some(messages))).ok()?;
        Some((read, spans))
    }

    /// `messages` reads the conversation.
    fn read<'a>(
        body: &Object<'_, 'a>,
        messages: impl FnOnce(&Object<'_, 'a>) -> Result<Option<Vec<ChatMessage>>, ApiError>,
    ) -> Result<Self, ApiError> {
        let (prefix, suffix) = continuation(body)?;
        body.optional("stream_options", stream_options)?;
        let penalty = |at: Path<'_>, raw: &RawValue| within(at, raw, Lowest::From(-2.0), 2.0);
        Ok(Self {
            model: body.optional("model", model)?.ok_or(ErrorCode::ModelRequired)?,
            messages: messages(body)?.ok_or(ErrorCode::MessageRequired)?,
            stream: body.optional("stream", boolean)?.unwrap_or(false),
            max_tokens: answer_length(body)?,
            stop: body.optional("stop", stop)?.unwrap_or_default(),
            temperature: body.optional("temperature", |at, raw| within(at, raw, Lowest::From(0.0), 2.0))?,
            top_p: body.optional("top_p", |at, raw| within(at, raw, Lowest::Above(0.0), 1.0))?,
            top_k: body.optional("top_k", top_k)?,
            min_p: body.optional("min_p", |at, raw| within(at, raw, Lowest::From(0.0), 1.0))?,
            frequency_penalty: body.optional("frequency_penalty", penalty)?,
            presence_penalty: body.optional("presence_penalty", penalty)?,
            logit_bias: body.optional("logit_bias", logit_bias)?.unwrap_or_default(),
            n: body.optional("n", |at, raw| choices(at, raw, 20))?,
            seed: body.optional("seed", seed)?,
            logprobs: logprobs(body)?,
            response_format: body
                .optional("response_format", response_format)?
                .unwrap_or_default(),
            tools: body.optional("tools", tools)?.unwrap_or_default(),
            tool_choice: body.optional("tool_choice", tool_choice)?.unwrap_or_default(),
            parallel_tool_calls: body.optional("parallel_tool_calls", boolean)?.unwrap_or(true),
            prefix,
            suffix,
            enable_thinking: body.optional("enable_thinking", boolean)?,
            thinking_budget: body
                .optional("thinking_budget", |at, raw| integer_within(at, raw, 128, 32768))?,
        })
    }
}

/// Reads `max_tokens` and OpenAI's newer name for it, which wins when both are there.
fn answer_length(body: &Object<'_, '_>) -> Result<Option<u32>, ApiError> {
    let old = body.optional("max_tokens", max_tokens)?;
    let new = body.optional("max_completion_tokens", max_tokens)?;
    Ok(new.or(old))
}

fn logprobs(body: &Object<'_, '_>) -> Result<Option<u8>, ApiError> {
    let wanted = body.optional("logprobs", boolean)?.unwrap_or(false);
    let top = body
        .optional("top_logprobs", |at, raw| integer_within(at, raw, 0, 20))?
        .unwrap_or(0);
    if top > 0 && !wanted {
        return Err(body
            .path("top_logprobs")
            .fault("Value error, `logprobs` must be true"));
    }
    Ok(wanted.then(|| u8::try_from(top).unwrap_or(u8::MAX)))
}

/// Reads `prefix` and `suffix`, at the top level or inside a literal `extra_body` as the sketch in
/// the vendor's documentation has it (contract section 3.4). The top level wins.
fn continuation(body: &Object<'_, '_>) -> Result<(Option<String>, Option<String>), ApiError> {
    let pair = |object: &Object<'_, '_>| -> Result<_, ApiError> {
        Ok((
            object.optional("prefix", string)?,
            object.optional("suffix", string)?,
        ))
    };
    let nested = body.optional("extra_body", |at, raw| {
        pair(&Object::read(at, raw, &["prefix", "suffix"])?)
    })?;
    let (prefix, suffix) = pair(body)?;
    let (nested_prefix, nested_suffix) = nested.unwrap_or_default();
    let prefix = prefix.or(nested_prefix).filter(|text| !text.is_empty());
    // Without a prefix, an empty suffix asks for nothing; with one, the gap is at the end.
    let suffix = suffix
        .or(nested_suffix)
        .filter(|text| !text.is_empty() || prefix.is_some());
    Ok((prefix, suffix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use utoipa::PartialSchema as _;

    use super::super::ChatCompletionRequestSchema;
    use super::*;

    /// What the reader makes of a text that looks at one member after the other.
    fn by_member(text: &str) -> Result<(ChatCompletionRequest, MemberSpans), ApiError> {
        let (body, spans) = Object::read_forwardable(text, KNOWN)?;
        let request = ChatCompletionRequest::read(&body, |body| body.optional("messages", messages))?;
        Ok((request, spans))
    }

    #[test]
    fn a_conversation_is_the_same_whether_it_is_read_where_it_stands_or_by_itself() {
        let user = r#"{"role":"user","content":"a \"b\" \u00e9"}"#;
        let parts = r#"{"content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"u"}}],"z":[[]]}"#;
        let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
        let result = r#"{"role":"tool","tool_call_id":"1","content":"7"}"#;
        for (messages, is_good) in [
            (format!("[{user}]"), true),
            (format!("[ {user} , {parts} ]"), true),
            (format!("[{user},{call},{result}]"), true),
            (format!(r#"[{user}],"n":1"#), true),
            // Those that the other reader has to judge.
            (format!(r#"[{user}],"messages":[{parts}]"#), true),
            (format!(r#"["x"],"messages":[{user}]"#), true),
            ("[]".to_owned(), false),
            ("null".to_owned(), false),
            (user.to_owned(), false),
            (format!("[{user},7]"), false),
            (format!("[{result}]"), false),
            (r#"[{"content":"\ud800"}]"#.to_owned(), false),
            (format!(r#"[{user}],"n":0"#), false),
            (format!(r#"[{user}],"N":1"#), false),
            (format!(r#"[{user}],"n":1,"n":1"#), false),
            (format!("[{user}"), false),
        ] {
            let text = format!(r#"{{"model":"m","messages":{messages}}}"#);
            let expected = by_member(&text);
            assert_eq!(expected.is_ok(), is_good, "{text}: {expected:?}");
            assert_eq!(
                ChatCompletionRequest::from_json_with_spans(&text),
                expected,
                "{text}"
            );
            if let Some(at_once) = ChatCompletionRequest::read_at_once(&text) {
                assert_eq!(Ok(at_once), expected, "{text}");
            }
        }
        let usual = format!(r#"{{"model":"m","messages":[{user},{call},{result}],"stream":true}}"#);
        assert!(ChatCompletionRequest::read_at_once(&usual).is_some());
    }

    proptest! {
        #[test]
        fn both_readers_agree_on_bodies_with_faults(
            edits in prop::collection::vec(
                (any::<prop::sample::Index>(), 0_usize..4, "[\\[\\]{}\",:0-9a-n\\\\ \u{e9}]{0,3}"),
                0..4,
            ),
        ) {
            const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"a\n"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"7"}]}],"n":1,"stream":false,"stop":["x"],"z":{"model":[1.5e3]}}"#;
            let mut text: Vec<char> = BODY.chars().collect();
            for (at, removed, added) in edits {
                let at = at.index(text.len() + 1);
                let end = (at + removed).min(text.len());
                text.splice(at..end, added.chars());
            }
            let text: String = text.into_iter().collect();
            let read = ChatCompletionRequest::from_json_with_spans(&text);
            prop_assert_eq!(&read, &by_member(&text), "{}", text);
            if read.is_ok() {
                let tree = serde_json::from_str::<serde_json::Value>(&text);
                prop_assert!(tree.is_ok(), "{}: {:?}", text, tree);
            }
        }
    }

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        let schema = serde_json::to_value(ChatCompletionRequestSchema::schema()).unwrap();
        let mut documented: Vec<String> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        documented.sort_unstable();
        let mut known = KNOWN.to_vec();
        known.sort_unstable();
        assert_eq!(documented, known);
    }
}
