//! How large a request is, seen without rendering it.

use silica_engine::{ChatRequest, Continuation, Message, Role, ToolCall};
use silica_types::TokenCount;

use crate::vocabulary::visible;

/// What a message costs a template beside its texts, in bytes of text that would cost as much.
const MESSAGE_BYTES: usize = 16;
/// The same for a tool call: templates walk its whole structure.
const CALL_BYTES: usize = 256;

/// Bytes of text in the request's messages, calls and continuation, with something on top for
/// each message and call.
pub(crate) fn text_bytes(request: &ChatRequest) -> usize {
    let messages = request.messages.iter().map(message_bytes).sum::<usize>();
    messages + continuation(request).iter().map(|text| text.len()).sum::<usize>()
}

fn message_bytes(message: &Message) -> usize {
    let optional = [&message.reasoning, &message.tool_call_id, &message.name];
    let optional = optional.into_iter().flatten().map(String::len).sum::<usize>();
    let calls = message.tool_calls.iter().map(call_bytes).sum::<usize>();
    MESSAGE_BYTES + message.content.len() + optional + calls
}

fn call_bytes(call: &ToolCall) -> usize {
    CALL_BYTES + call.id.len() + call.name.len() + call.arguments.len()
}

fn continuation(request: &ChatRequest) -> Vec<&str> {
    match &request.continuation {
        Continuation::None => Vec::new(),
        Continuation::Text(text) | Continuation::Prefix(text) => vec![text],
        Continuation::FillInMiddle { prefix, suffix } => vec![prefix, suffix],
    }
}

/// The fewest tokens that the request's texts can become when a token has at most `longest` bytes,
/// ASCII white space not counted, which templates and tokenizers may drop.
pub(crate) fn least_tokens(request: &ChatRequest, longest: usize) -> TokenCount {
    let continued = continuation(request);
    // Filling a gap and going on with a text are raw prompts without messages.
    let messages = match request.continuation {
        Continuation::FillInMiddle { .. } | Continuation::Text(_) => &[],
        Continuation::None | Continuation::Prefix(_) => request.messages.as_slice(),
    };
    let texts = messages.iter().map(rendered).chain(continued);
    let bytes = texts.map(least_bytes).sum::<usize>();
    TokenCount(u32::try_from(bytes / longest).unwrap_or(u32::MAX))
}

/// The text of a message that every template shows: some leave out earlier reasoning.
fn rendered(message: &Message) -> &str {
    match message.role {
        Role::Assistant => message.content.rsplit("</think>").next().unwrap_or_default(),
        Role::System | Role::User | Role::Tool => &message.content,
    }
}

/// Visible bytes left of a text when its characters are composed (NFC): a letter keeps at least a
/// byte, and a composed character at least a third of its parts.
fn least_bytes(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii_graphic).count();
    ascii.max(visible(text.as_bytes()) / 3)
}
