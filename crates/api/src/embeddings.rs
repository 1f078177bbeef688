//! `POST /embeddings` (contract section 6).

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use silica_engine::{EmbedRequest, WholeContent, WireRoute};
use silica_gateway::CallKind;
use silica_protocol::ErrorBody;
use silica_protocol::openai::embeddings::{EmbeddingList, EmbeddingRequest, EmbeddingRequestSchema};

use crate::answer::{self, blocking};
use crate::body::json_response;
use crate::{ApiState, CallerAuth, Failure, ForwardableJson, Json, RequestTrace, limit_headers};

/// Turns texts into vectors.
///
/// Served without `/v1` as well.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    operation_id = "create_embedding",
    tag = "embeddings",
    request_body = EmbeddingRequestSchema,
    responses(
        (status = 200, description = "A vector for each text, in their order", body = EmbeddingList),
        (status = 400, description = "The request is not valid for this model", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 403, description = "The balance is insufficient, or the account, the key or the model may not do this", body = ErrorBody),
        (status = 413, description = "There are too many texts, or a text or the request body is too large", body = ErrorBody),
        (status = 429, description = "A rate limit of the account on this model, or of the key, is reached; Retry-After says when to come back", body = ErrorBody),
        (status = 500, description = "The model failed", body = ErrorBody),
        (status = 503, description = "The model is overloaded or not running", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create_embedding(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ForwardableJson(body, raw): ForwardableJson<EmbeddingRequest>,
) -> Result<Response, Failure> {
    let kind = CallKind::Embedding;
    let admitted = state.gateway.admit(&caller, &body.model, kind, &trace).await?;
    let original = answer::original(&admitted, raw, WireRoute::Embeddings, false);
    let model = original.model.as_str().to_owned();
    let request = EmbedRequest {
        inputs: body.inputs,
        dimensions: body.dimensions,
        wire: Some(original),
    };
    let answered = admitted.embed(request).await.map_err(Failure::of_texts)?;
    let prompt_tokens = answered.answer.usage.prompt.get();
    let mut response = match answered.answer.content {
        WholeContent::Forwarded(bytes) => json_response(bytes),
        WholeContent::Computed(embeddings) => {
            let format = body.encoding_format;
            let numbers: usize = embeddings.0.iter().map(Vec::len).sum();
            let write = move || {
                let list = EmbeddingList::new(model, embeddings.0, format, prompt_tokens);
                Json(list).into_response()
            };
            if numbers <= WRITE_INLINE {
                write()
            } else {
                blocking(write).await?
            }
        }
    };
    limit_headers::standing(response.headers_mut(), &answered.standings);
    Ok(response)
}

/// Numbers above which an answer is written on the blocking pool; each takes some 30 nanoseconds.
const WRITE_INLINE: usize = 16 * 1024;
