//! The body of a completion request.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::parameters::{
    Lowest, TopK, choices, integer_within, logit_bias, max_tokens, model, seed, stop, stream_options, top_k,
    within,
};
use crate::reader::{Kind, Object, Path, boolean, list, string};
use crate::{ApiError, ErrorCode, ForwardableBody, MemberSpans, RequestBody};

/// A completion request, read and checked. `None` and empty lists mean "not given". Fields that the
/// API tolerates without effect of its own (`user`, `stream_options`, `repetition_penalty` and
/// unknown ones) are not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompletionRequest {
    /// The model's catalogue name, not empty.
    pub model: String,
    /// The text that the answer continues, or the text before the gap; empty only with `suffix`.
    pub prompt: String,
    /// The text after the gap, not empty.
    pub suffix: Option<String>,
    /// Whether the answer begins with the prompt.
    pub echo: bool,
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
    /// The number of choices, 1 to 128.
    pub n: Option<u32>,
    /// The seed of the draw.
    pub seed: Option<u64>,
    /// Log-probabilities with this many alternatives (0 to 20), if asked for.
    pub logprobs: Option<u8>,
}

pub(super) const KNOWN: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "echo",
    "stream",
    "stream_options",
    "max_tokens",
    "stop",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "n",
    "best_of",
    "seed",
    "logprobs",
];

/// The most choices (contract section 4).
const MOST_CHOICES: u32 = 128;

impl RequestBody for CompletionRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        Self::from_json_with_spans(text).map(|(request, _)| request)
    }
}

impl ForwardableBody for CompletionRequest {
    fn from_json_with_spans(text: &str) -> Result<(Self, MemberSpans), ApiError> {
        let (body, spans) = Object::read_forwardable(text, KNOWN)?;
        Ok((Self::read(&body)?, spans))
    }
}

impl CompletionRequest {
    fn read(body: &Object<'_, '_>) -> Result<Self, ApiError> {
        body.optional("stream_options", stream_options)?;
        let penalty = |at: Path<'_>, raw: &RawValue| within(at, raw, Lowest::From(-2.0), 2.0);
        let request = Self {
            model: body.optional("model", model)?.ok_or(ErrorCode::ModelRequired)?,
            prompt: body
                .optional("prompt", prompt)?
                .ok_or(ErrorCode::PromptRequired)?,
            suffix: body.optional("suffix", string)?.filter(|text| !text.is_empty()),
            echo: body.optional("echo", boolean)?.unwrap_or(false),
            stream: body.optional("stream", boolean)?.unwrap_or(false),
            max_tokens: body.optional("max_tokens", max_tokens)?,
            stop: body.optional("stop", stop)?.unwrap_or_default(),
            temperature: body.optional("temperature", |at, raw| within(at, raw, Lowest::From(0.0), 2.0))?,
            top_p: body.optional("top_p", |at, raw| within(at, raw, Lowest::Above(0.0), 1.0))?,
            top_k: body.optional("top_k", top_k)?,
            min_p: body.optional("min_p", |at, raw| within(at, raw, Lowest::From(0.0), 1.0))?,
            frequency_penalty: body.optional("frequency_penalty", penalty)?,
            presence_penalty: body.optional("presence_penalty", penalty)?,
            logit_bias: body.optional("logit_bias", logit_bias)?.unwrap_or_default(),
            n: body.optional("n", |at, raw| choices(at, raw, MOST_CHOICES))?,
            seed: body.optional("seed", seed)?,
            logprobs: body.optional("logprobs", logprobs)?.flatten(),
        };
        request.check_together(body)?;
        Ok(request)
    }
}

impl CompletionRequest {
    /// Checks what the fields say together.
    fn check_together(&self, body: &Object<'_, '_>) -> Result<(), ApiError> {
        if self.prompt.is_empty() && self.suffix.is_none() {
            let text = "String should have at least 1 character";
            return Err(body.path("prompt").fault_with(ErrorCode::PromptRequired, text));
        }
        if self.echo && (self.suffix.is_some() || self.logprobs.is_some()) {
            let text = "Value error, `echo` cannot be combined with `suffix` or `logprobs`";
            return Err(body.path("echo").fault(text));
        }
        // More candidates than choices would be computed, and paid, for nobody to see.
        let candidates = body.optional("best_of", |at, raw| choices(at, raw, MOST_CHOICES))?;
        if candidates.is_some_and(|candidates| candidates != self.n.unwrap_or(1)) {
            return Err(body
                .path("best_of")
                .fault("Value error, `best_of` must equal `n`"));
        }
        Ok(())
    }
}

/// Reads a text, or a list of one.
fn prompt(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    match Kind::of(raw) {
        Kind::String => string(at, raw),
        Kind::Array => {
            let mut only = None;
            list(at, raw, |item, raw| match Kind::of(raw) {
                _ if only.is_some() => Err(at.fault("List should have at most 1 item after validation")),
                Kind::String => {
                    only = Some(string(item, raw)?);
                    Ok(())
                }
                Kind::Number | Kind::Array => Err(at.fault("Token ids are not supported; send the text")),
                Kind::Object | Kind::Bool | Kind::Null => Err(item.fault("Input should be a valid string")),
            })?;
            let text = "List should have at least 1 item after validation";
            only.ok_or_else(|| at.fault_with(ErrorCode::PromptRequired, text))
        }
        Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
            Err(at.fault("Input should be a valid string"))
        }
    }
}

/// Reads the number of alternatives; the `false` of chat requests stands for "none", too.
fn logprobs(at: Path<'_>, raw: &RawValue) -> Result<Option<u8>, ApiError> {
    if raw.get() == "false" {
        return Ok(None);
    }
    integer_within(at, raw, 0, 20).map(|count| u8::try_from(count).ok())
}
