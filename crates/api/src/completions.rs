//! `POST /completions` (contract section 4).

mod collect;
mod frames;
pub(crate) mod prepare;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use silica_engine::WireRoute;
use silica_gateway::CallKind;
use silica_protocol::ErrorBody;
use silica_protocol::openai::completions::{
    Completion, CompletionChunk, CompletionRequest, CompletionRequestSchema,
};

use self::collect::collect;
use self::frames::CompletionFrames;
use self::prepare::engine_request;
use crate::answer::{self, Collected, blocking};
use crate::body::json_response;
use crate::chat::wire::Head;
use crate::{ApiState, CallerAuth, Failure, ForwardableJson, Json, RequestTrace, limit_headers};

/// Continues a text, or fills the gap between two.
///
/// With `stream: true` the answer is `text/event-stream`: one `data:` frame per step, each a
/// `CompletionChunk` with cumulative usage, and `data: [DONE]` at the end. Served without `/v1` as
/// well. A client that leaves stops the generation.
#[utoipa::path(
    post,
    path = "/v1/completions",
    operation_id = "create_completion",
    tag = "chat",
    request_body = CompletionRequestSchema,
    responses(
        (status = 200, description = "The answer", content(
            (Completion = "application/json"),
            (CompletionChunk<'static> = "text/event-stream"),
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
pub(crate) async fn create_completion(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ForwardableJson(body, raw): ForwardableJson<CompletionRequest>,
) -> Result<Response, Failure> {
    let admitted = state
        .gateway
        .admit(&caller, &body.model, CallKind::Completion, &trace)
        .await?;
    let streams = body.stream;
    let original = answer::original(&admitted, raw, WireRoute::Completions, streams);
    let model = original.model.clone();
    let echo = if body.echo {
        body.prompt.clone()
    } else {
        String::new()
    };
    let request = engine_request(body, state.config.default_max_tokens, original);
    let choices = request.choices;
    // Nothing here may be handed to another task; see `create_chat_completion`.
    let call = admitted.chat(request, answer::delivery(streams)).await?;
    let head = Head::new(&call, &model);
    let standings = call.standings().to_vec();
    let mut response = if streams {
        let frames = CompletionFrames::new(head, choices, echo);
        answer::streamed(call, frames, &state.config).await?
    } else {
        let whole = match collect(call, head, choices, &echo).await? {
            Collected::Written(completion) => whole_answer(completion).await?,
            Collected::Forwarded(bytes) => json_response(bytes),
        };
        answer::labelled(whole, &state.config).await
    };
    limit_headers::standing(response.headers_mut(), &standings);
    Ok(response)
}

/// Tokens with log-probabilities above which an answer is written on the blocking pool; each has up
/// to twenty alternatives.
const WRITE_INLINE: usize = 50;

async fn whole_answer(completion: Completion) -> Result<Response, Failure> {
    let logprobs = completion
        .choices
        .iter()
        .filter_map(|choice| choice.logprobs.as_ref());
    let tokens: usize = logprobs.map(|logprobs| logprobs.tokens.len()).sum();
    if tokens <= WRITE_INLINE {
        return Ok(Json(completion).into_response());
    }
    Ok(blocking(move || Json(completion).into_response()).await?)
}
