//! `POST /estimate`: what a request would cost.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use silica_engine::{EmbedRequest, WireRequest, WireRoute};
use silica_gateway::{Admitted, CallKind};
use silica_platform::{Estimate, Priced};
use silica_protocol::silicon::estimate::{
    Asked, AskedAnswer, CostLine, Costs, Estimate as EstimateBody, EstimateRequest, EstimateRequestSchema,
};
use silica_protocol::{ErrorBody, MemberSpans};

use crate::answer::{self, blocking};
use crate::{
    ApiState, CallerAuth, Failure, Json, RawBody, RequestTrace, ValidJson, chat, completions, messages,
    rerank, responses,
};

/// Tells what a request would cost without running it.
///
/// The request is read, checked and counted as its endpoint does, by the code that reserves its cost.
/// Nothing is taken and nothing is generated; the limits on requests count it.
#[utoipa::path(
    post,
    path = "/v1/estimate",
    operation_id = "create_estimate",
    tag = "user",
    request_body = EstimateRequestSchema,
    responses(
        (status = 200, description = "Tokens, prices and the total", body = EstimateBody),
        (status = 400, description = "The request is not valid for this model", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 403, description = "The account, the key or the model may not do this", body = ErrorBody),
        (status = 413, description = "A text or the request body is too large", body = ErrorBody),
        (status = 429, description = "A rate limit of the account on this model, or of the key, is reached; Retry-After says when to come back", body = ErrorBody),
        (status = 503, description = "The model is not running", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create_estimate(
    State(state): State<ApiState>,
    CallerAuth(caller): CallerAuth,
    RequestTrace(trace): RequestTrace,
    ValidJson(EstimateRequest { asked, text }): ValidJson<EstimateRequest>,
) -> Result<Json<EstimateBody>, Failure> {
    let kind = match asked {
        Asked::Answer(_) => CallKind::ChatEstimate,
        Asked::Embedding(..) => CallKind::EmbeddingEstimate,
        Asked::Rerank(..) => CallKind::RerankEstimate,
    };
    let admitted = state.gateway.admit(&caller, asked.model(), kind, &trace).await?;
    let (model, endpoint) = (admitted.model().id.to_string(), asked.endpoint());
    let estimate = match asked {
        Asked::Answer(asked) => estimate_answer(&state, admitted, asked, text).await?,
        Asked::Embedding(body, spans) => {
            let request = EmbedRequest {
                wire: Some(original(&admitted, text, spans, WireRoute::Embeddings)),
                inputs: body.inputs,
                dimensions: body.dimensions,
            };
            let estimated = admitted.estimate_embed(request).await;
            estimated.map_err(Failure::of_texts)?
        }
        Asked::Rerank(body, spans) => {
            let original = original(&admitted, text, spans, WireRoute::Rerank);
            let estimated = admitted
                .estimate_rerank(rerank::engine_request(*body, original))
                .await;
            estimated.map_err(Failure::of_texts)?
        }
    };
    Ok(Json(EstimateBody {
        object: "estimate",
        model,
        endpoint,
        currency: "CNY",
        price_version: estimate.price.map(|version| version.0),
        is_exact: estimate.likely == estimate.most,
        likely: costs(estimate.likely),
        reserved: costs(estimate.most),
    }))
}

/// What an answer costs, in whatever form it is asked for.
async fn estimate_answer(
    state: &ApiState,
    admitted: Admitted,
    asked: AskedAnswer,
    text: String,
) -> Result<Estimate, Failure> {
    let model = Arc::clone(admitted.model());
    let most = state.config.default_max_tokens;
    let wire = |spans, route| original(&admitted, text, spans, route);
    // Always on the blocking pool: nobody asks for many of these at once.
    let mapped = match asked {
        AskedAnswer::Chat(body, spans) => {
            let wire = wire(spans, WireRoute::ChatCompletions);
            blocking(move || chat::prepare::engine_request(*body, &model, most, wire)).await?
        }
        AskedAnswer::Completion(body, spans) => {
            let wire = wire(spans, WireRoute::Completions);
            blocking(move || Ok(completions::prepare::engine_request(*body, most, wire))).await?
        }
        AskedAnswer::Message(body) => {
            blocking(move || Ok(messages::prepare::engine_request(*body, &model))).await?
        }
        AskedAnswer::Response(body) => {
            blocking(move || Ok(responses::prepare::engine_request(*body, &model, most))).await?
        }
    };
    match mapped {
        Ok(request) => Ok(admitted.estimate_chat(request).await?),
        Err(error) => {
            admitted.invalid();
            Err(error.into())
        }
    }
}

/// The request as it would come to its endpoint. A stream's worst case is that of an answer in one piece.
fn original(admitted: &Admitted, text: String, members: MemberSpans, route: WireRoute) -> WireRequest {
    let body = RawBody {
        bytes: Bytes::from(text),
        members,
    };
    answer::original(admitted, body, route, false)
}

fn costs(priced: Priced) -> Costs {
    let lines = priced.lines.into_iter().map(|line| CostLine {
        unit: line.unit,
        count: line.count,
        price: line.price.to_string(),
        per: line.per,
        amount: line.amount.to_string(),
    });
    Costs {
        prompt_tokens: priced.units.prompt_tokens,
        completion_tokens: priced.units.completion_tokens,
        lines: lines.collect(),
        total: priced.total.to_string(),
    }
}
