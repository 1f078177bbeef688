//! `POST /messages`, in Anthropic's form (contract section 5).

mod collect;
pub(crate) mod count;
mod frames;
mod head;
pub(crate) mod prepare;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use silica_gateway::CallKind;
use silica_protocol::anthropic::AnthropicError;
use silica_protocol::anthropic::messages::{Message, MessageEvent, MessagesRequest, MessagesRequestSchema};

use self::collect::collect;
use self::frames::MessageFrames;
use self::head::MessageHead;
use self::prepare::engine_request;
use crate::answer::{self, blocking};
use crate::auth::AnthropicAuth;
use crate::chat::is_large;
use crate::{ApiState, Failure, Json, RequestTrace, ValidJson, limit_headers};

/// Answers a conversation in Anthropic's form.
///
/// With `stream: true` the answer is `text/event-stream`: `message_start`, `ping`, for each block
/// `content_block_start`, `content_block_delta` and `content_block_stop`, then `message_delta` and
/// `message_stop`. A failure after the begin is an `error` event, and the last one. Served without
/// `/v1` as well. The key may stand in `x-api-key`. A client that leaves stops the generation.
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "create_message",
    tag = "chat",
    request_body = MessagesRequestSchema,
    responses(
        (status = 200, description = "The answer", content(
            (Message = "application/json"),
            (MessageEvent<'static> = "text/event-stream"),
        )),
        (status = 400, description = "The request is not valid for this model", body = AnthropicError),
        (status = 401, description = "The key is missing or invalid", body = AnthropicError),
        (status = 403, description = "The balance is insufficient, or the account, the key or the model may not do this", body = AnthropicError),
        (status = 413, description = "The request body is too large", body = AnthropicError),
        (status = 429, description = "A rate limit of the account on this model, or of the key, is reached; Retry-After says when to come back", body = AnthropicError),
        (status = 451, description = "The prompt or the answer is prohibited or sensitive", body = AnthropicError),
        (status = 500, description = "The model failed", body = AnthropicError),
        (status = 503, description = "The model is overloaded or not running", body = AnthropicError),
    ),
    security(("bearer" = []), ("x_api_key" = [])),
)]
pub(crate) async fn create_message(
    State(state): State<ApiState>,
    AnthropicAuth(caller): AnthropicAuth,
    RequestTrace(trace): RequestTrace,
    ValidJson(body): ValidJson<MessagesRequest>,
) -> Result<Response, Failure> {
    let admitted = state
        .gateway
        .admit(&caller, &body.model, CallKind::Message, &trace)
        .await?;
    let model = Arc::clone(admitted.model());
    let streams = body.stream;
    let stops = body.stop_sequences.clone();
    let request = if is_large(&body.messages) {
        let model = Arc::clone(&model);
        blocking(move || engine_request(body, &model)).await?
    } else {
        engine_request(body, &model)
    };
    // Nothing here may be handed to another task; see `create_chat_completion`.
    let call = admitted.chat(request, answer::delivery(streams)).await?;
    let head = MessageHead::new(call.id(), &model.id, stops);
    let standings = call.standings().to_vec();
    let mut response = if streams {
        answer::streamed(call, MessageFrames::new(head), &state.config).await?
    } else {
        let whole = Json(collect(call, head).await?).into_response();
        answer::labelled(whole, &state.config).await
    };
    limit_headers::standing(response.headers_mut(), &standings);
    Ok(response)
}
