//! `POST /chat/completions` (contract section 3).

mod collect;
mod frames;
mod prepare;
mod wire;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use silica_gateway::{Call, GatewayError};
use silica_protocol::ErrorBody;
use silica_protocol::openai::chat::{
    ChatCompletion, ChatCompletionRequest, ChatCompletionRequestSchema, Chunk,
};

use self::collect::collect;
use self::frames::ChatFrames;
use self::prepare::engine_request;
use self::wire::Head;
use crate::{ApiState, CallerAuth, Failure, Json, RequestTrace, ValidJson, sse};

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
        (status = 403, description = "The account or the model is disabled", body = ErrorBody),
        (status = 413, description = "The request body is too large", body = ErrorBody),
        (status = 500, description = "The model failed", body = ErrorBody),
        (status = 503, description = "The model is overloaded or not running", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create_chat_completion(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ValidJson(body): ValidJson<ChatCompletionRequest>,
) -> Result<Response, Failure> {
    let model = state.gateway.chat_model(&body.model)?;
    let streams = body.stream;
    let request = engine_request(body, &model, state.config.default_max_tokens)?;
    let choices = request.choices;
    // Nothing here may be handed to another task: when the client leaves, this future or the
    // body that it returned is dropped, and with it the call.
    let call = state
        .gateway
        .chat(&caller, model.id.as_str(), &trace, request)
        .await?;
    let head = Head::new(&call, &model.id);
    if streams {
        stream_answer(call, head, choices).await
    } else {
        Ok(Json(collect(call, head, choices).await?).into_response())
    }
}

/// Waits for the first event, so that an early failure still has its HTTP status, and streams.
async fn stream_answer(mut call: Call, head: Head, choices: u32) -> Result<Response, Failure> {
    let first = call.next().await.ok_or(GatewayError::Cut)??;
    let events = stream::iter([Ok(first)]).chain(call);
    Ok(sse::response(events, ChatFrames::new(head, choices)))
}
