//! From a checked request to what the engine is asked: defaults filled in, refusals that depend
//! on the model.

use std::sync::Arc;

use silica_engine::{
    AnswerForm, ChatRequest, Continuation, Feature, Message, Priority, Role, Sampling, Thinking, Tool,
    ToolCall, ToolChoice, WireRequest,
};
use silica_platform::{CatalogueModel, ModelFeature};
use silica_protocol::openai::chat as wire;
use silica_protocol::openai::chat::{ChatCompletionRequest, ResponseFormat, TopK};
use silica_protocol::{ApiError, ErrorCode};
use silica_types::TokenCount;

use crate::failure::unsupported_parameter;

/// Defaults of February 2025 (contract section 3.1).
const TEMPERATURE: f32 = 0.7;
const TOP_P: f32 = 0.7;
const TOP_K: u32 = 50;
const FREQUENCY_PENALTY: f32 = 0.5;

/// Makes the engine's request.
///
/// # Errors
/// With the code of a feature that cannot be served. Features that the engine's request can
/// express are checked by the gateway, not here.
pub(crate) fn engine_request(
    body: ChatCompletionRequest,
    model: &CatalogueModel,
    default_max_tokens: TokenCount,
    original: WireRequest,
) -> Result<ChatRequest, ApiError> {
    refuse_unserved(&body, model)?;
    let demands = demands(&body);
    let sampling = sampling(&body);
    let original = WireRequest {
        media: body.media(),
        ..original
    };
    Ok(ChatRequest {
        messages: body.messages.into_iter().map(message).collect(),
        tools: body.tools.into_iter().map(tool).collect(),
        tool_choice: tool_choice(body.tool_choice),
        parallel_calls: body.parallel_tool_calls,
        form: match body.response_format {
            ResponseFormat::Text => AnswerForm::Text,
            ResponseFormat::JsonObject => AnswerForm::JsonObject,
            ResponseFormat::JsonSchema(schema) => AnswerForm::JsonSchema(Arc::new(schema)),
        },
        continuation: match (body.prefix, body.suffix) {
            (None, None) => Continuation::None,
            (Some(prefix), None) => Continuation::Prefix(prefix),
            (prefix, Some(suffix)) => Continuation::FillInMiddle {
                prefix: prefix.unwrap_or_default(),
                suffix,
            },
        },
        sampling,
        max_tokens: body.max_tokens.map_or(default_max_tokens, TokenCount),
        stop: body.stop,
        choices: body.n.unwrap_or(1),
        logprobs: body.logprobs,
        thinking: Thinking {
            enabled: body.enable_thinking,
            budget: body.thinking_budget.map(TokenCount),
        },
        demands,
        // Both are set where the call is admitted.
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: Some(original),
    })
}

/// Refuses what no engine serves for this model.
fn refuse_unserved(body: &ChatCompletionRequest, model: &CatalogueModel) -> Result<(), ApiError> {
    if body.response_format != ResponseFormat::Text {
        match (&body.prefix, &body.suffix) {
            (_, Some(_)) => return Err(ErrorCode::FimJsonMode.into()),
            (Some(_), None) => return Err(ErrorCode::PrefixJsonMode.into()),
            (None, None) => {}
        }
    }
    if body.thinking_budget.is_some() && !model.features.contains(&ModelFeature::Reasoning) {
        return Err(unsupported_parameter("thinking_budget"));
    }
    Ok(())
}

/// What not every engine can do, in the order in which it is refused.
fn demands(body: &ChatCompletionRequest) -> Vec<Feature> {
    let forces_call = forces_call(&body.tool_choice);
    let demands = [
        (body.response_format != ResponseFormat::Text, Feature::JsonMode),
        (!body.media().is_empty(), Feature::Vision),
        (forces_call, Feature::ForcedCalls),
        (body.tools.iter().any(|tool| tool.strict), Feature::StrictTools),
    ];
    let asked = demands.into_iter().filter(|(is_asked, _)| *is_asked);
    asked.map(|(_, feature)| feature).collect()
}

fn sampling(body: &ChatCompletionRequest) -> Sampling {
    Sampling {
        temperature: body.temperature.unwrap_or(TEMPERATURE),
        top_p: body.top_p.unwrap_or(TOP_P),
        top_k: match body.top_k {
            None => Some(TOP_K),
            Some(TopK::All) => None,
            Some(TopK::Most(count)) => Some(u32::from(count)),
        },
        min_p: body.min_p.unwrap_or(0.0),
        frequency_penalty: body.frequency_penalty.unwrap_or(FREQUENCY_PENALTY),
        presence_penalty: body.presence_penalty.unwrap_or(0.0),
        logit_bias: body.logit_bias.clone(),
        seed: body.seed,
    }
}

/// A message in the engine's terms.
pub(crate) fn message(message: wire::ChatMessage) -> Message {
    let calls_tools = !message.tool_calls.is_empty();
    Message {
        role: match message.role {
            wire::Role::System => Role::System,
            wire::Role::User => Role::User,
            wire::Role::Assistant => Role::Assistant,
            wire::Role::Tool => Role::Tool,
        },
        content: message.content,
        images: message.images,
        // Earlier reasoning is fed back only on turns that call tools (contract section 3.3).
        reasoning: message.reasoning_content.filter(|_| calls_tools),
        tool_calls: message.tool_calls.into_iter().map(tool_call).collect(),
        tool_call_id: message.tool_call_id,
        name: message.name,
    }
}

fn tool_call(call: wire::ToolCall) -> ToolCall {
    ToolCall {
        id: call.id,
        name: call.function.name,
        arguments: call.function.arguments,
    }
}

/// A choice in the engine's terms.
pub(crate) fn tool_choice(choice: wire::ToolChoice) -> ToolChoice {
    match choice {
        wire::ToolChoice::Auto => ToolChoice::Auto,
        wire::ToolChoice::None => ToolChoice::None,
        wire::ToolChoice::Required => ToolChoice::Required,
        wire::ToolChoice::Function(name) => ToolChoice::Named(name),
    }
}

/// Whether a choice makes the model call a tool.
pub(crate) const fn forces_call(choice: &wire::ToolChoice) -> bool {
    matches!(choice, wire::ToolChoice::Required | wire::ToolChoice::Function(_))
}

/// A tool in the engine's terms.
pub(crate) fn tool(tool: wire::ToolDefinition) -> Tool {
    Tool {
        name: tool.name,
        description: tool.description,
        parameters: tool.parameters,
        strict: tool.strict,
    }
}
