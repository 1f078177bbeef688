//! What an answer repeats of its request.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::ResponsesRequest;
use super::request::Effort;
use super::tool::{ToolEcho, ToolSelection};

/// What an answer repeats of its request, with defaults filled in. Schemas are kept as JSON text,
/// since each of a stream's answers to the whole is written with them.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ResponseSettings)]
pub struct Settings {
    /// The instructions.
    pub instructions: Option<String>,
    /// The limit on tokens, if the request has one.
    pub max_output_tokens: Option<u32>,
    /// The pairs that came with the request.
    pub metadata: BTreeMap<String, String>,
    /// What was asked; models call as many tools as they see fit.
    pub parallel_tool_calls: bool,
    /// Always `null`: no earlier answers are stored.
    pub previous_response_id: Option<String>,
    /// How much the model reasons.
    pub reasoning: ReasoningSettings,
    /// Always `false`: answers are not stored.
    pub store: bool,
    /// How freely tokens are drawn.
    pub temperature: f32,
    /// The form of the answer, under `format`.
    #[schema(value_type = Object)]
    pub text: Box<RawValue>,
    /// Which tools may or must be called.
    pub tool_choice: ToolSelection,
    /// The tools.
    #[schema(value_type = Vec<Object>)]
    pub tools: Box<RawValue>,
    /// The number of alternatives among log-probabilities.
    pub top_logprobs: u8,
    /// From which share of the likely tokens is drawn.
    pub top_p: f32,
    /// Always `disabled`: nothing is cut off a conversation.
    #[schema(example = "disabled")]
    pub truncation: &'static str,
}

/// How much the model reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseReasoning)]
pub struct ReasoningSettings {
    /// What was asked.
    pub effort: Option<Effort>,
    /// Always `null`: the reasoning itself is in the answer.
    #[schema(value_type = Option<String>)]
    pub summary: Option<&'static str>,
}

impl Settings {
    /// Takes them from a request.
    pub fn of(request: &ResponsesRequest) -> Self {
        let tools: Vec<ToolEcho<'_>> = request.tools.iter().map(ToolEcho).collect();
        Self {
            instructions: request.instructions.clone(),
            max_output_tokens: request.max_output_tokens,
            metadata: request.metadata.clone(),
            parallel_tool_calls: request.parallel_tool_calls,
            previous_response_id: None,
            reasoning: ReasoningSettings {
                effort: request.effort,
                summary: None,
            },
            store: false,
            temperature: request.temperature.unwrap_or(1.0),
            text: raw(&BTreeMap::from([("format", &request.format)])),
            tool_choice: request.tool_choice.clone(),
            tools: raw(&tools),
            top_logprobs: request.logprobs.unwrap_or(0),
            top_p: request.top_p.unwrap_or(1.0),
            truncation: "disabled",
        }
    }
}

/// Writes a value whose serialisation cannot fail: trees of JSON under fixed keys.
fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
