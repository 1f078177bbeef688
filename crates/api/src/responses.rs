//! `POST /responses`, in the form of OpenAI's Responses API, without memory.

mod collect;
mod frames;
mod growing;
pub(crate) mod prepare;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use silica_gateway::CallKind;
use silica_protocol::ErrorBody;
use silica_protocol::openai::responses::{
    NumberedEvent, Response as ResponseBody, ResponsesRequest, ResponsesRequestSchema, Settings,
};

use self::collect::collect;
use self::frames::ResponseFrames;
use self::growing::Growing;
use self::prepare::engine_request;
use crate::answer::{self, blocking};
use crate::chat::is_large;
use crate::chat::wire::Head;
use crate::{ApiState, CallerAuth, Failure, RequestTrace, ValidJson, limit_headers};

/// Answers a conversation in the form of OpenAI's Responses API.
///
/// Nothing is kept: each request carries the whole conversation, and no answer can be fetched later.
/// With `stream: true` the answer is `text/event-stream`: `response.created`,
/// `response.in_progress`, for each item `response.output_item.added`, its parts and deltas and
/// `response.output_item.done`, then `response.completed` or `response.incomplete`. A failure after
/// the begin is an `error` event and `response.failed`. Served without `/v1` as well. A client that
/// leaves stops the generation.
#[utoipa::path(
    post,
    path = "/v1/responses",
    operation_id = "create_response",
    tag = "chat",
    request_body = ResponsesRequestSchema,
    responses(
        (status = 200, description = "The answer", content(
            (ResponseBody<'static> = "application/json"),
            (NumberedEvent<'static> = "text/event-stream"),
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
pub(crate) async fn create_response(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ValidJson(body): ValidJson<ResponsesRequest>,
) -> Result<Response, Failure> {
    let admitted = state
        .gateway
        .admit(&caller, &body.model, CallKind::Response, &trace)
        .await?;
    let model = Arc::clone(admitted.model());
    let streams = body.stream;
    let default_max_tokens = state.config.default_max_tokens;
    let is_large = is_large(&body.messages) || !body.tools.is_empty();
    let map = {
        let model = Arc::clone(&model);
        move || {
            let settings = Settings::of(&body);
            (settings, engine_request(body, &model, default_max_tokens))
        }
    };
    let (settings, request) = if is_large { blocking(map).await? } else { map() };
    // Nothing here may be handed to another task; see `create_chat_completion`.
    let call = admitted.chat(request, answer::delivery(streams)).await?;
    let growing = Growing::new(Head::new(&call, &model.id), settings);
    let standings = call.standings().to_vec();
    let mut response = if streams {
        let frames = ResponseFrames::new(growing);
        answer::streamed(call, frames, &state.config).await?
    } else {
        answer::labelled(collect(call, growing).await?, &state.config).await
    };
    limit_headers::standing(response.headers_mut(), &standings);
    Ok(response)
}
