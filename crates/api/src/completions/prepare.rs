//! From a checked request to what the engine is asked.

use silica_engine::{
    AnswerForm, ChatRequest, Continuation, Message, Priority, Sampling, Thinking, ToolChoice, WireRequest,
};
use silica_protocol::openai::chat::TopK;
use silica_protocol::openai::completions::CompletionRequest;
use silica_types::TokenCount;

/// Makes the engine's request. The contract names no defaults, so nothing is cut and nothing is
/// penalised, as OpenAI has it.
pub(crate) fn engine_request(
    body: CompletionRequest,
    default_max_tokens: TokenCount,
    original: WireRequest,
) -> ChatRequest {
    let sampling = Sampling {
        temperature: body.temperature.unwrap_or(1.0),
        top_p: body.top_p.unwrap_or(1.0),
        top_k: match body.top_k {
            None | Some(TopK::All) => None,
            Some(TopK::Most(count)) => Some(u32::from(count)),
        },
        min_p: body.min_p.unwrap_or(0.0),
        frequency_penalty: body.frequency_penalty.unwrap_or(0.0),
        presence_penalty: body.presence_penalty.unwrap_or(0.0),
        logit_bias: body.logit_bias,
        seed: body.seed,
    };
    ChatRequest {
        messages: vec![Message::default()],
        tools: Vec::new(),
        tool_choice: ToolChoice::None,
        parallel_calls: true,
        form: AnswerForm::Text,
        continuation: match body.suffix {
            None => Continuation::Text(body.prompt),
            Some(suffix) => Continuation::FillInMiddle {
                prefix: body.prompt,
                suffix,
            },
        },
        sampling,
        max_tokens: body.max_tokens.map_or(default_max_tokens, TokenCount),
        stop: body.stop,
        choices: body.n.unwrap_or(1),
        logprobs: body.logprobs,
        thinking: Thinking::default(),
        demands: Vec::new(),
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: Some(original),
    }
}
