//! From the engine's terms to the wire's.

use silica_gateway::Call;
use silica_protocol::openai::chat as wire;
use silica_types::ModelName;

/// What is the same in every frame of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) model: ModelName,
}

impl Head {
    pub(crate) fn new(call: &Call, model: &ModelName) -> Self {
        Self {
            id: call.id().to_string(),
            created: call.created().as_second(),
            model: model.clone(),
        }
    }
}

pub(crate) fn usage(usage: silica_engine::Usage) -> wire::Usage {
    wire::Usage::new(
        usage.prompt.get(),
        usage.cached.get(),
        usage.completion.get(),
        usage.reasoning.get(),
    )
}

pub(crate) fn finish_reason(reason: silica_engine::FinishReason) -> wire::FinishReason {
    match reason {
        silica_engine::FinishReason::Stop => wire::FinishReason::Stop,
        silica_engine::FinishReason::Length => wire::FinishReason::Length,
        silica_engine::FinishReason::ToolCalls => wire::FinishReason::ToolCalls,
    }
}

pub(crate) fn logprobs(tokens: Vec<silica_engine::TextLogprob>) -> impl Iterator<Item = wire::TokenLogprob> {
    tokens.into_iter().map(|token| wire::TokenLogprob {
        token: token.token.text,
        logprob: token.token.logprob,
        bytes: token.token.bytes,
        top_logprobs: token.top.into_iter().map(top_logprob).collect(),
    })
}

fn top_logprob(token: silica_engine::TopLogprob) -> wire::TopLogprob {
    wire::TopLogprob {
        token: token.text,
        logprob: token.logprob,
        bytes: token.bytes,
    }
}
