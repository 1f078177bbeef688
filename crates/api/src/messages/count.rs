//! `POST /messages/count_tokens`, in Anthropic's form.

use std::sync::Arc;

use axum::extract::State;
use silica_gateway::CallKind;
use silica_protocol::anthropic::AnthropicError;
use silica_protocol::anthropic::messages::{TokenCount, TokenCountRequest, TokenCountRequestSchema};

use super::prepare::engine_request;
use crate::answer::blocking;
use crate::auth::AnthropicAuth;
use crate::chat::is_large;
use crate::{ApiState, Failure, Json, RequestTrace, ValidJson};

/// Counts the tokens of a prompt without answering it.
///
/// The count is that of the model's own tokenizer and template where the model runs in the process,
/// and an estimate where it runs elsewhere. Nothing is charged; the limits on requests count it.
#[utoipa::path(
    post,
    path = "/v1/messages/count_tokens",
    operation_id = "count_message_tokens",
    tag = "chat",
    request_body = TokenCountRequestSchema,
    responses(
        (status = 200, description = "The size of the prompt", body = TokenCount),
        (status = 400, description = "The request is not valid for this model", body = AnthropicError),
        (status = 401, description = "The key is missing or invalid", body = AnthropicError),
        (status = 403, description = "The account, the key or the model may not do this", body = AnthropicError),
        (status = 413, description = "The request body is too large", body = AnthropicError),
        (status = 429, description = "A rate limit of the account on this model, or of the key, is reached; Retry-After says when to come back", body = AnthropicError),
        (status = 503, description = "The model is not running", body = AnthropicError),
    ),
    security(("bearer" = []), ("x_api_key" = [])),
)]
pub(crate) async fn count_message_tokens(
    State(state): State<ApiState>,
    AnthropicAuth(caller): AnthropicAuth,
    RequestTrace(trace): RequestTrace,
    ValidJson(TokenCountRequest(body)): ValidJson<TokenCountRequest>,
) -> Result<Json<TokenCount>, Failure> {
    let admitted = state
        .gateway
        .admit(&caller, &body.model, CallKind::TokenCount, &trace)
        .await?;
    let model = Arc::clone(admitted.model());
    let request = if is_large(&body.messages) {
        blocking(move || engine_request(body, &model)).await?
    } else {
        engine_request(body, &model)
    };
    let input_tokens = admitted.count(request).await?.get();
    Ok(Json(TokenCount { input_tokens }))
}
