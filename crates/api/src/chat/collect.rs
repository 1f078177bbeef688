//! The answer in one piece.

use silica_engine::Delta;
use silica_gateway::{Call, GatewayError};
use silica_protocol::openai::chat::{
    AssistantMessage, ChatCompletion, Choice, ChoiceLogprobs, FinishReason, FunctionCall, ToolCall,
};

use super::wire::{self, Head};
use crate::answer::{Collected, GrowingChoice, collected};

/// Reads a call to its end. Dropping the future cancels the call.
///
/// # Errors
/// When the call fails, whatever was generated before.
pub(super) async fn collect(
    call: Call,
    head: Head,
    choices: u32,
) -> Result<Collected<ChatCompletion>, GatewayError> {
    let parts: Vec<Parts> = (0..choices).map(|_| Parts::default()).collect();
    let (parts, usage) = match collected(call, parts).await? {
        Collected::Written(written) => written,
        Collected::Forwarded(bytes) => return Ok(Collected::Forwarded(bytes)),
    };
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

/// One choice while it grows.
#[derive(Default)]
struct Parts {
    content: String,
    reasoning: String,
    tool_calls: Vec<ToolCall>,
    logprobs: ChoiceLogprobs,
    finish_reason: Option<FinishReason>,
}

impl GrowingChoice for Parts {
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

    fn end(&mut self, reason: silica_engine::FinishReason) {
        self.finish_reason = Some(wire::finish_reason(reason));
    }
}

impl Parts {
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
