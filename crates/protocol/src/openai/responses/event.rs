//! The events of a streamed answer. They borrow, because one is written for every token.

use serde::Serialize;
use utoipa::ToSchema;

use super::response::{ContentPart, OutputItem, Response};
use crate::openai::chat::TokenLogprob;

/// An event with its number.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ResponseStreamEvent)]
pub struct NumberedEvent<'a> {
    /// What happened.
    #[serde(flatten)]
    pub event: ResponseEvent<'a>,
    /// From 0, without gaps.
    pub sequence_number: u64,
}

/// One event; its name on the wire is its `type`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type")]
pub enum ResponseEvent<'a> {
    /// The first event.
    #[serde(rename = "response.created")]
    Created {
        /// The answer, still empty.
        response: Response<'a>,
    },
    /// The model is at work.
    #[serde(rename = "response.in_progress")]
    InProgress {
        /// The answer, still empty.
        response: Response<'a>,
    },
    /// An item begins.
    #[serde(rename = "response.output_item.added")]
    OutputItemAdded {
        /// Its place in the answer, from 0.
        output_index: usize,
        /// The item, still empty.
        item: &'a OutputItem,
    },
    /// A part of an item begins.
    #[serde(rename = "response.content_part.added")]
    ContentPartAdded {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The place of the part in the item: always 0.
        content_index: usize,
        /// The part, still empty.
        part: &'a ContentPart,
    },
    /// More of what the model says.
    #[serde(rename = "response.output_text.delta")]
    OutputTextDelta {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The place of the part in the item: always 0.
        content_index: usize,
        /// Text to append.
        delta: &'a str,
        /// Log-probabilities of the tokens that it comes from, if asked for.
        logprobs: &'a [TokenLogprob],
    },
    /// What the model said is whole.
    #[serde(rename = "response.output_text.done")]
    OutputTextDone {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The place of the part in the item: always 0.
        content_index: usize,
        /// The text.
        text: &'a str,
        /// Log-probabilities of its tokens, if asked for.
        logprobs: &'a [TokenLogprob],
    },
    /// More of what the model thinks.
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningTextDelta {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The place of the part in the item: always 0.
        content_index: usize,
        /// Text to append.
        delta: &'a str,
    },
    /// What the model thought is whole.
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningTextDone {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The place of the part in the item: always 0.
        content_index: usize,
        /// The text.
        text: &'a str,
    },
    /// A part of an item is whole.
    #[serde(rename = "response.content_part.done")]
    ContentPartDone {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The place of the part in the item: always 0.
        content_index: usize,
        /// The part.
        part: &'a ContentPart,
    },
    /// More of a call's arguments.
    #[serde(rename = "response.function_call_arguments.delta")]
    FunctionCallArgumentsDelta {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// JSON text to append.
        delta: &'a str,
    },
    /// A call's arguments are whole.
    #[serde(rename = "response.function_call_arguments.done")]
    FunctionCallArgumentsDone {
        /// Which item.
        item_id: &'a str,
        /// Its place in the answer.
        output_index: usize,
        /// The function's name.
        name: &'a str,
        /// JSON text as the model wrote it.
        arguments: &'a str,
    },
    /// An item is whole, or ends with the answer.
    #[serde(rename = "response.output_item.done")]
    OutputItemDone {
        /// Its place in the answer.
        output_index: usize,
        /// The item.
        item: &'a OutputItem,
    },
    /// The answer is whole; the last event.
    #[serde(rename = "response.completed")]
    Completed {
        /// The answer.
        response: Response<'a>,
    },
    /// The answer's limit ended it; the last event.
    #[serde(rename = "response.incomplete")]
    Incomplete {
        /// The answer.
        response: Response<'a>,
    },
    /// What went wrong; the answer as it stands then follows.
    #[serde(rename = "error")]
    Error {
        /// The business error code.
        code: String,
        /// In words.
        message: &'a str,
        /// Always `null`.
        param: Option<&'static str>,
    },
    /// The model failed; the last event.
    #[serde(rename = "response.failed")]
    Failed {
        /// The answer as far as it came.
        response: Response<'a>,
    },
}

impl ResponseEvent<'_> {
    /// The event's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::InProgress { .. } => "response.in_progress",
            Self::OutputItemAdded { .. } => "response.output_item.added",
            Self::ContentPartAdded { .. } => "response.content_part.added",
            Self::OutputTextDelta { .. } => "response.output_text.delta",
            Self::OutputTextDone { .. } => "response.output_text.done",
            Self::ReasoningTextDelta { .. } => "response.reasoning_text.delta",
            Self::ReasoningTextDone { .. } => "response.reasoning_text.done",
            Self::ContentPartDone { .. } => "response.content_part.done",
            Self::FunctionCallArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::FunctionCallArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::OutputItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Error { .. } => "error",
            Self::Failed { .. } => "response.failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_s_name_is_its_type_and_its_number_stands_beside() {
        let event = ResponseEvent::FunctionCallArgumentsDelta {
            item_id: "fc_1",
            output_index: 2,
            delta: "{",
        };
        let name = event.name();
        let numbered = NumberedEvent {
            event,
            sequence_number: 7,
        };
        let expected = serde_json::json!({
            "type": name, "item_id": "fc_1", "output_index": 2, "delta": "{", "sequence_number": 7,
        });
        assert_eq!(serde_json::to_value(&numbered).unwrap(), expected);
    }
}
