//! What is the same in every part of an answer.

use silica_engine::{FinishReason, Usage};
use silica_protocol::anthropic::messages::{Message, MessageUsage, StopReason};
use silica_types::{ModelName, RequestId};

pub(super) struct MessageHead {
    id: String,
    model: ModelName,
    /// Of each block of reasoning: ten letters, as the imitated service has them. They sign nothing,
    /// since reasoning that comes back is not trusted more than other text.
    pub(super) signature: String,
    /// What the request asked to end at.
    stops: Vec<String>,
}

impl MessageHead {
    pub(super) fn new(call: RequestId, model: &ModelName, stops: Vec<String>) -> Self {
        let digits = call.to_string();
        // The first 24 of 32 digits: the time, and 42 bits of chance. Whoever has the answer finds
        // the call.
        let id = format!("msg_{}", digits.get(..24).unwrap_or(&digits));
        let letter = |digit: u8| {
            char::from(if digit.is_ascii_digit() {
                digit - b'0' + b'g'
            } else {
                digit
            })
        };
        Self {
            id,
            model: model.clone(),
            signature: digits.bytes().rev().take(10).map(letter).collect(),
            stops,
        }
    }

    /// Why the answer ended, and at which of the request's texts; an engine may have texts of its own.
    pub(super) fn end(&self, reason: FinishReason, stop: Option<String>) -> (StopReason, Option<String>) {
        let stop = stop.filter(|stop| self.stops.contains(stop));
        let reason = match reason {
            FinishReason::Stop if stop.is_some() => StopReason::StopSequence,
            FinishReason::Stop => StopReason::EndTurn,
            FinishReason::Length => StopReason::MaxTokens,
            FinishReason::ToolCalls => StopReason::ToolUse,
        };
        (reason, stop.filter(|_| reason == StopReason::StopSequence))
    }

    /// The answer with nothing in it.
    pub(super) fn message(&self, usage: Usage) -> Message {
        Message {
            id: self.id.clone(),
            kind: "message",
            role: "assistant",
            model: self.model.as_str().to_owned(),
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: counts(usage),
        }
    }
}

pub(super) fn counts(usage: Usage) -> MessageUsage {
    MessageUsage::new(usage.prompt.get(), usage.cached.get(), usage.completion.get())
}
