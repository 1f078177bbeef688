//! From a checked request to what the engine is asked.

use std::sync::Arc;

use silica_engine::{
    AnswerForm, ChatRequest, Continuation, Feature, Message, Priority, Role, Sampling, Thinking, ToolChoice,
};
use silica_platform::{CatalogueModel, ModelFeature};
use silica_protocol::openai::responses::{Effort, ResponsesRequest, TextFormat, ToolMode, ToolSelection};
use silica_types::TokenCount;

use crate::chat::prepare::{message, tool};

/// Makes the engine's request. Defaults are OpenAI's: nothing is cut and nothing is penalised. There is
/// nothing to forward, so every engine answers with events.
pub(crate) fn engine_request(
    body: ResponsesRequest,
    model: &CatalogueModel,
    default_max_tokens: TokenCount,
) -> ChatRequest {
    let demands = demands(&body);
    let instructions = body.instructions.map(|content| Message {
        role: Role::System,
        content,
        ..Message::default()
    });
    let conversation = body.messages.into_iter().map(message);
    let allowed = body
        .tools
        .into_iter()
        .filter(|tool| body.tool_choice.allows(&tool.name));
    ChatRequest {
        messages: instructions.into_iter().chain(conversation).collect(),
        tools: allowed.map(tool).collect(),
        tool_choice: match body.tool_choice {
            ToolSelection::Any(mode) => any_of(mode),
            ToolSelection::Named(tool) => ToolChoice::Named(tool.name),
            // The others have been taken away.
            ToolSelection::Allowed(allowed) => any_of(allowed.mode),
        },
        parallel_calls: body.parallel_tool_calls,
        form: match body.format {
            TextFormat::Text => AnswerForm::Text,
            TextFormat::JsonObject => AnswerForm::JsonObject,
            TextFormat::JsonSchema { schema, .. } => AnswerForm::JsonSchema(Arc::new(schema)),
        },
        continuation: Continuation::None,
        sampling: Sampling {
            temperature: body.temperature.unwrap_or(1.0),
            top_p: body.top_p.unwrap_or(1.0),
            top_k: None,
            min_p: 0.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        },
        max_tokens: body.max_output_tokens.map_or(default_max_tokens, TokenCount),
        stop: Vec::new(),
        choices: 1,
        logprobs: body.logprobs,
        thinking: thinking(body.effort, model),
        demands,
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: None,
    }
}

const fn any_of(mode: ToolMode) -> ToolChoice {
    match mode {
        ToolMode::None => ToolChoice::None,
        ToolMode::Auto => ToolChoice::Auto,
        ToolMode::Required => ToolChoice::Required,
    }
}

/// What not every engine can do, in the order in which it is refused.
fn demands(body: &ResponsesRequest) -> Vec<Feature> {
    let forces_call = match &body.tool_choice {
        ToolSelection::Any(mode) => *mode == ToolMode::Required,
        ToolSelection::Named(_) => true,
        ToolSelection::Allowed(allowed) => allowed.mode == ToolMode::Required,
    };
    let demands = [
        (body.format != TextFormat::Text, Feature::JsonMode),
        (body.has_media(), Feature::Vision),
        (forces_call, Feature::ForcedCalls),
        (body.tools.iter().any(|tool| tool.strict), Feature::StrictTools),
    ];
    let asked = demands.into_iter().filter(|(is_asked, _)| *is_asked);
    asked.map(|(_, feature)| feature).collect()
}

/// Clients send an effort to any model; one that cannot think has nothing to switch off. Efforts above
/// none are the model's own, as the contract has them for most (section 3.1).
fn thinking(effort: Option<Effort>, model: &CatalogueModel) -> Thinking {
    let reasons = model.features.contains(&ModelFeature::Reasoning);
    Thinking {
        enabled: (effort == Some(Effort::None) && reasons).then_some(false),
        budget: None,
    }
}
