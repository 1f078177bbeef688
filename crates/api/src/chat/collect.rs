//! The answer in one piece.

use bytes::Bytes;
use futures::StreamExt as _;
use silica_engine::{ChatEventKind, Delta};
use silica_gateway::{Call, GatewayError};
use silica_protocol::openai::chat::{
    AssistantMessage, ChatCompletion, Choice, ChoiceLogprobs, FinishReason, FunctionCall, ToolCall,
};

use super::wire::{self, Head};

/// A whole answer.
pub(super) enum Collected {
    /// From the events of an engine.
    Written(ChatCompletion),
    /// As an engine wrote it: JSON.
    Forwarded(Bytes),
}

/// Reads a call to its end. Dropping the future cancels the call.
///
/// # Errors
/// When the call fails, whatever was generated before.
pub(super) async fn collect(mut call: Call, head: Head, choices: u32) -> Result<Collected, GatewayError> {
    let mut parts: Vec<Parts> = (0..choices).map(|_| Parts::default()).collect();
    let mut usage = silica_engine::Usage::default();
    let mut forwarded = None;
    while let Some(event) = call.next().await {
        let event = event?;
        usage = event.usage;
        match event.kind {
            ChatEventKind::Started => {}
            ChatEventKind::Forwarded { bytes, .. } => forwarded = Some(bytes),
            ChatEventKind::Delta { choice, delta } => part(&mut parts, choice)?.add(delta),
            ChatEventKind::Finished { choice, reason } => {
                part(&mut parts, choice)?.finish_reason = Some(wire::finish_reason(reason));
            }
        }
    }
    if let Some(bytes) = forwarded {
        return Ok(Collected::Forwarded(bytes));
    }
    let choices = (0..)
        .zip(parts)
        .map(|(index, parts)| parts.into_choice(index))
        .collect::<Result<_, _>>()?;
    Ok(Collected::Written(ChatCompletion {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model.as_str().to_owned(),
        choices,
        usage: wire::usage(usage),
        system_fingerprint: "",
    }))
}

/// An engine that speaks of a choice nobody asked for has lost its way.
fn part(parts: &mut [Parts], choice: u32) -> Result<&mut Parts, GatewayError> {
    usize::try_from(choice)
        .ok()
        .and_then(|index| parts.get_mut(index))
        .ok_or(GatewayError::Cut)
}

/// One choice while it grows.
#[derive(Default)]
struct Parts {
    content: String,
    reasoning: String,
    tool_calls: Vec<ToolCall>,
    logprobs: ChoiceLogprobs,
    finish_reason: Option<FinishReason>,
}

impl Parts {
    fn add(&mut self, delta: Delta) {
        match delta {
            Delta::Content { text, logprobs } => {
                self.content.push_str(&text);
                self.logprobs.content.extend(wire::logprobs(logprobs));
            }
            Delta::Reasoning { text } => self.reasoning.push_str(&text),
            Delta::ToolCallStarted { index: _, id, name } => {
                let function = FunctionCall {
                    name,
                    arguments: String::new(),
                };
                self.tool_calls.push(ToolCall {
                    id,
                    kind: "function",
                    function,
                });
            }
            Delta::ToolCallArguments { index, fragment } => {
                let call = usize::try_from(index)
                    .ok()
                    .and_then(|index| self.tool_calls.get_mut(index));
                if let Some(call) = call {
                    call.function.arguments.push_str(&fragment);
                }
            }
        }
    }

    fn into_choice(self, index: u32) -> Result<Choice, GatewayError> {
        let message = AssistantMessage {
            role: "assistant",
            content: self.content,
            reasoning_content: Some(self.reasoning).filter(|text| !text.is_empty()),
            tool_calls: self.tool_calls,
        };
        let logprobs = Some(self.logprobs).filter(|logprobs| !logprobs.content.is_empty());
        let finish_reason = self.finish_reason.ok_or(GatewayError::Cut)?;
        Ok(Choice {
            index,
            message,
            logprobs,
            finish_reason,
        })
    }
}
