//! `POST /chat/completions` (contract section 3).

mod collect;
pub(crate) mod frames;
pub(crate) mod prepare;
pub(crate) mod wire;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use silica_engine::WireRoute;
use silica_gateway::CallKind;
use silica_protocol::openai::chat::{
    ChatCompletion, ChatCompletionRequest, ChatCompletionRequestSchema, ChatMessage, Chunk,
};
use silica_protocol::{ErrorBody, ErrorCode};

use self::collect::collect;
use self::frames::ChatFrames;
use self::prepare::engine_request;
use self::wire::Head;
use crate::answer::{self, Collected, blocking};
use crate::body::json_response;
use crate::{ApiState, CallerAuth, Failure, ForwardableJson, Json, RequestTrace, limit_headers};

/// Answers a conversation.
///
/// With `stream: true` the answer is `text/event-stream`: one `data:` frame per step, each a
/// `ChatCompletionChunk` with cumulative usage, and `data: [DONE]` at the end. Served without
/// `/v1` as well. A client that leaves stops the generation.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "create_chat_completion",
    tag = "chat",
    request_body = ChatCompletionRequestSchema,
    responses(
        (status = 200, description = "The answer", content(
            (ChatCompletion = "application/json"),
            (Chunk<'static> = "text/event-stream"),
        )),
        (status = 400, description = "The request is not valid for this model", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 403, description = "The balance is insufficient, or the account, the key or the model may not do this", body = ErrorBody),
        (status = 413, description = "The request body is too large", body = ErrorBody),
        (status = 429, description = "A rate limit of the account on this model, or of the key, is reached; Retry-After says when to come back", body = ErrorBody),
        (status = 451, description = "The prompt or the answer is prohibited or sensitive", body = ErrorBody),
        (status = 500, description = "The model failed", body = ErrorBody),
        (status = 503, description = "The model is overloaded or not running", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create_chat_completion(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ForwardableJson(body, raw): ForwardableJson<ChatCompletionRequest>,
) -> Result<Response, Failure> {
    let admitted = state
        .gateway
        .admit(&caller, &body.model, CallKind::Chat, &trace)
        .await?;
    let model = Arc::clone(admitted.model());
    let streams = body.stream;
    let original = answer::original(&admitted, raw, WireRoute::ChatCompletions, streams);
    let default_max_tokens = state.config.default_max_tokens;
    let request = if is_large(&body.messages) {
        let model = Arc::clone(&model);
        blocking(move || engine_request(body, &model, default_max_tokens, original)).await?
    } else {
        engine_request(body, &model, default_max_tokens, original)
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            admitted.invalid();
            return Err(error.into());
        }
    };
    let choices = request.choices;
    // Nothing here may be handed to another task: when the client leaves, this future or the
    // body that it returned is dropped, and with it the call.
    let call = admitted.chat(request, answer::delivery(streams)).await?;
    let head = Head::new(&call, &model.id);
    let standings = call.standings().to_vec();
    let mut response = if streams {
        answer::streamed(call, ChatFrames::new(head, choices), &state.config).await?
    } else {
        let whole = match collect(call, head, choices).await? {
            Collected::Written(completion) => whole_answer(completion).await?,
            Collected::Forwarded(bytes) => json_response(bytes),
        };
        answer::labelled(whole, &state.config).await
    };
    limit_headers::standing(response.headers_mut(), &standings);
    Ok(response)
}

/// Messages and tool calls above which a request is mapped on the blocking pool.
const MAP_INLINE: usize = 1000;

pub(crate) fn is_large(messages: &[ChatMessage]) -> bool {
    let mut parts = messages.iter().map(|message| 1 + message.tool_calls.len());
    parts
        .try_fold(0, |sum: usize, part| {
            Some(sum + part).filter(|sum| *sum <= MAP_INLINE)
        })
        .is_none()
}

/// Alternatives of tokens above which an answer is written on the blocking pool; each is about a
/// hundred bytes of JSON.
const WRITE_INLINE: usize = 1000;

/// Writes the answer, away from the async threads when it has many log-probabilities: with all
/// choices and alternatives that is megabytes.
async fn whole_answer(completion: ChatCompletion) -> Result<Response, ErrorCode> {
    let tokens = completion
        .choices
        .iter()
        .filter_map(|choice| choice.logprobs.as_ref())
        .flat_map(|logprobs| &logprobs.content);
    let alternatives: usize = tokens.map(|token| 1 + token.top_logprobs.len()).sum();
    if alternatives <= WRITE_INLINE {
        return Ok(Json(completion).into_response());
    }
    blocking(move || Json(completion).into_response()).await
}
