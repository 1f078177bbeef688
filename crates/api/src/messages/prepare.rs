//! From a checked request to what the engine is asked.

use std::sync::Arc;

use silica_engine::{AnswerForm, ChatRequest, Continuation, Feature, Message, Priority, Sampling, Thinking};
use silica_platform::{CatalogueModel, ModelFeature};
use silica_protocol::anthropic::messages::{MessagesRequest, ThinkingSetting};
use silica_types::TokenCount;

use crate::chat::prepare::{forces_call, message, tool, tool_choice};

/// Makes the engine's request. Defaults are Anthropic's: nothing is cut and nothing is penalised.
/// There is nothing to forward, so every engine answers with events.
pub(crate) fn engine_request(body: MessagesRequest, model: &CatalogueModel) -> ChatRequest {
    let demands = demands(&body);
    let mut messages: Vec<Message> = body.messages.into_iter().map(message).collect();
    if messages.is_empty() {
        messages.push(Message::default());
    }
    ChatRequest {
        messages,
        tools: body.tools.into_iter().map(tool).collect(),
        tool_choice: tool_choice(body.tool_choice),
        parallel_calls: body.parallel_calls,
        form: body.form.map_or(AnswerForm::Text, |schema| {
            AnswerForm::JsonSchema(Arc::new(schema))
        }),
        continuation: body.prefill.map_or(Continuation::None, Continuation::Prefix),
        sampling: Sampling {
            temperature: body.temperature.unwrap_or(1.0),
            top_p: body.top_p.unwrap_or(1.0),
            top_k: body.top_k,
            min_p: 0.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        },
        max_tokens: TokenCount(body.max_tokens),
        stop: body.stop_sequences,
        choices: 1,
        logprobs: None,
        thinking: thinking(body.thinking, model),
        demands,
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: None,
    }
}

/// What not every engine can do, in the order in which it is refused.
fn demands(body: &MessagesRequest) -> Vec<Feature> {
    let demands = [
        (body.form.is_some(), Feature::JsonMode),
        (body.has_media(), Feature::Vision),
        (forces_call(&body.tool_choice), Feature::ForcedCalls),
        (body.tools.iter().any(|tool| tool.strict), Feature::StrictTools),
    ];
    let asked = demands.into_iter().filter(|(is_asked, _)| *is_asked);
    asked.map(|(_, feature)| feature).collect()
}

/// Clients say `disabled` to any model; one that cannot think has nothing to switch off.
fn thinking(setting: Option<ThinkingSetting>, model: &CatalogueModel) -> Thinking {
    let reasons = model.features.contains(&ModelFeature::Reasoning);
    match setting {
        Some(ThinkingSetting::Enabled(budget)) => Thinking {
            enabled: Some(true),
            budget: Some(TokenCount(budget)),
        },
        Some(ThinkingSetting::Disabled) if reasons => Thinking {
            enabled: Some(false),
            budget: None,
        },
        Some(ThinkingSetting::Disabled) | None => Thinking::default(),
    }
}
