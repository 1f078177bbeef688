//! `POST /rerank` (contract section 7).

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use silica_engine::{RankedDocument, WholeContent, WireRequest, WireRoute};
use silica_gateway::CallKind;
use silica_protocol::ErrorBody;
use silica_protocol::silicon::rerank::{
    Rerank, RerankDocument, RerankRequest, RerankRequestSchema, RerankResult,
};

use crate::answer;
use crate::body::json_response;
use crate::{ApiState, CallerAuth, Failure, ForwardableJson, Json, RequestTrace, limit_headers};

/// Orders documents by how well they answer a query.
///
/// Served without `/v1` as well.
#[utoipa::path(
    post,
    path = "/v1/rerank",
    operation_id = "create_rerank",
    tag = "rerank",
    request_body = RerankRequestSchema,
    responses(
        (status = 200, description = "The documents, best first", body = Rerank),
        (status = 400, description = "The request is not valid for this model", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 403, description = "The balance is insufficient, or the account, the key or the model may not do this", body = ErrorBody),
        (status = 413, description = "A text or the request body is too large", body = ErrorBody),
        (status = 429, description = "A rate limit of the account on this model, or of the key, is reached; Retry-After says when to come back", body = ErrorBody),
        (status = 500, description = "The model failed", body = ErrorBody),
        (status = 503, description = "The model is overloaded or not running", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create_rerank(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ForwardableJson(body, raw): ForwardableJson<RerankRequest>,
) -> Result<Response, Failure> {
    let kind = CallKind::Rerank;
    let admitted = state.gateway.admit(&caller, &body.model, kind, &trace).await?;
    let id = admitted.id().to_string();
    let mut returned = if body.return_documents {
        body.documents.iter().cloned().map(Some).collect()
    } else {
        Vec::new()
    };
    let original = answer::original(&admitted, raw, WireRoute::Rerank, false);
    let request = engine_request(body, original);
    let answered = admitted.rerank(request).await.map_err(Failure::of_texts)?;
    let input_tokens = answered.answer.usage.prompt.get();
    let mut response = match answered.answer.content {
        WholeContent::Forwarded(bytes) => json_response(bytes),
        WholeContent::Computed(ranking) => {
            let results = ranking.0.into_iter().map(|place| result(place, &mut returned));
            Json(Rerank::new(id, results.collect(), input_tokens)).into_response()
        }
    };
    limit_headers::standing(response.headers_mut(), &answered.standings);
    Ok(response)
}

/// From a checked request to what the engine is asked.
pub(crate) fn engine_request(body: RerankRequest, original: WireRequest) -> silica_engine::RerankRequest {
    silica_engine::RerankRequest {
        wire: Some(original),
        query: body.query,
        documents: body.documents,
        top_n: body.top_n,
        instruction: body.instruction,
        max_chunks_per_document: body.max_chunks_per_doc,
        overlap_tokens: body.overlap_tokens,
    }
}

/// Writes a place, with its document if those are returned.
fn result(place: RankedDocument, returned: &mut [Option<String>]) -> RerankResult {
    let document = usize::try_from(place.index)
        .ok()
        .and_then(|index| returned.get_mut(index)?.take());
    RerankResult {
        document: document.map(|text| RerankDocument { text }),
        index: place.index,
        relevance_score: place.score,
    }
}
