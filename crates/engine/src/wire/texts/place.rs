//! Where a text stands in a body, as far as that decides whether it can say something to a model.

/// Values of `role`.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];
/// Values of `type`: the parts of messages, tools and calls, forms of answers, and the types of JSON Schema.
const TYPES: [&str; 19] = [
    "text",
    "image_url",
    "video_url",
    "audio_url",
    "input_audio",
    "function",
    "json_object",
    "json_schema",
    "object",
    "array",
    "string",
    "number",
    "integer",
    "boolean",
    "null",
    "enabled",
    "disabled",
    "auto",
    "ephemeral",
];
/// Names of members that the API, its engines and JSON Schema give a meaning.
const NAMES: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "arguments",
    "audio_url",
    "chat_template_kwargs",
    "content",
    "const",
    "data",
    "default",
    "description",
    "detail",
    "enable_thinking",
    "enum",
    "extra_body",
    "format",
    "frequency_penalty",
    "function",
    "id",
    "image_url",
    "include_usage",
    "input_audio",
    "items",
    "json_schema",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "maximum",
    "messages",
    "min_p",
    "minimum",
    "model",
    "n",
    "name",
    "oneOf",
    "parallel_tool_calls",
    "parameters",
    "prefix",
    "presence_penalty",
    "prompt",
    "properties",
    "reasoning_content",
    "repetition_penalty",
    "required",
    "response_format",
    "role",
    "schema",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "strict",
    "suffix",
    "temperature",
    "text",
    "thinking_budget",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "type",
    "url",
    "user",
    "video_url",
];

/// A place in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The body itself.
    Body,
    /// Its list of messages.
    Messages,
    /// One of them.
    Message,
    /// The content of a message, a text or a list of parts.
    Content,
    /// One of the parts.
    Part,
    /// The image or the video of a part, an object or the address itself.
    Picture,
    /// The sound of a part.
    Sound,
    /// What should be the address of a medium, or the medium itself.
    Medium,
    /// The name of the model that is asked, by which it was found.
    Model,
    /// What should be a role.
    Role,
    /// What should be a type of something.
    Type,
    /// Anything else.
    Elsewhere,
}

impl Place {
    /// The place of an object's member.
    pub(super) fn member(self, name: &str) -> Self {
        match (self, name) {
            (_, "type") => Self::Type,
            (Self::Body, "model") => Self::Model,
            (Self::Body, "messages") => Self::Messages,
            (Self::Message, "role") => Self::Role,
            (Self::Message, "content") => Self::Content,
            (Self::Part, "image_url" | "video_url") => Self::Picture,
            (Self::Part, "audio_url" | "input_audio") => Self::Sound,
            (Self::Picture | Self::Sound, "url") | (Self::Sound, "data") => Self::Medium,
            _ => Self::Elsewhere,
        }
    }

    /// The place of a list's items.
    pub(super) const fn item(self) -> Self {
        match self {
            Self::Messages => Self::Message,
            Self::Content => Self::Part,
            _ => Self::Elsewhere,
        }
    }

    /// Whether a text here says nothing to a model.
    pub(super) fn leaves_out(self, text: &str) -> bool {
        match self {
            Self::Model => true,
            Self::Role => ROLES.contains(&text),
            Self::Type => TYPES.contains(&text),
            Self::Picture | Self::Medium => is_medium(text),
            _ => false,
        }
    }
}

/// Whether the name of a member is a word of the dialect.
pub(super) fn is_of_the_dialect(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a text is an image or a sound, alone or in an address of its own. Other addresses are texts.
fn is_medium(text: &str) -> bool {
    let payload = match text.split_once(',') {
        Some((head, payload)) if is_head(head) => payload,
        _ => text,
    };
    let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    payload.bytes().all(is_of_base64)
}

/// Whether this is `data:image/png;base64` or the like.
fn is_head(head: &str) -> bool {
    let kind = head
        .strip_prefix("data:")
        .and_then(|head| head.strip_suffix(";base64"));
    kind.is_some_and(|kind| kind.bytes().all(|byte| byte.is_ascii_graphic()))
}
