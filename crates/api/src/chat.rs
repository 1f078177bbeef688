//! `POST /chat/completions` (contract section 3).

mod collect;
mod frames;
mod prepare;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use http::HeaderMap;
use silica_engine::{WireRequest, WireRoute};
use silica_gateway::{Call, Delivery, GatewayError};
use silica_platform::SubType;
use silica_protocol::openai::chat::{
    ChatCompletion, ChatCompletionRequest, ChatCompletionRequestSchema, Chunk,
};
use silica_protocol::{ErrorBody, ErrorCode};

use self::collect::{Collected, collect};
use self::frames::ChatFrames;
use self::prepare::engine_request;
use self::wire::Head;
use crate::limit_headers;
use crate::{ApiState, CallerAuth, Failure, ForwardableJson, Json, RequestTrace, body::json_response, sse};

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
    let admitted = state.gateway.admit(&caller, &body.model, SubType::Chat, &trace).await?;
    let model = Arc::clone(admitted.model());
    let streams = body.stream;
    let original = WireRequest {
        body: raw,
        route: WireRoute::ChatCompletions,
        id: admitted.id().to_string(),
        model: model.id.clone(),
        streams,
    };
    let default_max_tokens = state.config.default_max_tokens;
    let request = if is_large(&body) {
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
    let delivery = if streams {
        Delivery::Streamed
    } else {
        Delivery::Whole
    };
    // Nothing here may be handed to another task: when the client leaves, this future or the
    // body that it returned is dropped, and with it the call.
    let call = admitted.chat(request, delivery).await?;
    let head = Head::new(&call, &model.id);
    let mut limits = HeaderMap::new();
    limit_headers::standing(&mut limits, call.standings());
    let mut response = if streams {
        stream_answer(call, head, choices, state.config.stream_stall_limit).await?
    } else {
        match collect(call, head, choices).await? {
            Collected::Written(completion) => whole_answer(completion).await?,
            Collected::Forwarded(bytes) => json_response(bytes),
        }
    };
    response.headers_mut().extend(limits);
    Ok(response)
}

/// Waits for the first event, so that an early failure still has its HTTP status, and streams.
async fn stream_answer(
    mut call: Call,
    head: Head,
    choices: u32,
    stall_limit: Duration,
) -> Result<Response, Failure> {
    let first = call.next().await.ok_or(GatewayError::Cut)??;
    let events = stream::iter([Ok(first)]).chain(call);
    Ok(sse::response(events, ChatFrames::new(head, choices), stall_limit))
}

/// Messages and tool calls above which a request is mapped on the blocking pool.
const MAP_INLINE: usize = 1000;

fn is_large(body: &ChatCompletionRequest) -> bool {
    let mut parts = body.messages.iter().map(|message| 1 + message.tool_calls.len());
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

/// Runs what takes more than half a millisecond where it holds up no other request.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ErrorCode> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_panic_or_shutdown| ErrorCode::Internal)
}
