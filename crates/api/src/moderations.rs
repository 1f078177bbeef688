//! `POST /moderations`, in OpenAI's form.

use axum::extract::State;
use silica_engine::Judgement;
use silica_protocol::openai::moderations::{
    Moderation, ModerationRequest, ModerationRequestSchema, ModerationResult,
};
use silica_protocol::{ErrorBody, ErrorCode};
use silica_types::RequestId;

use crate::{ApiState, CallerAuth, Failure, Json, ValidJson};

/// Judges texts.
///
/// Asks what the operator has chosen to judge prompts and answers: a list of words, or a service that the
/// request is handed on to. Nothing is charged. Served without `/v1` as well.
#[utoipa::path(
    post,
    path = "/v1/moderations",
    operation_id = "create_moderation",
    tag = "moderations",
    request_body = ModerationRequestSchema,
    responses(
        (status = 200, description = "A judgement for each text", body = Moderation),
        (status = 400, description = "The request is not valid, or nothing judges texts here", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 413, description = "The request body is too large", body = ErrorBody),
        (status = 503, description = "The service is away, or too many ask", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create_moderation(
    State(state): State<ApiState>,
    CallerAuth(_caller): CallerAuth,
    ValidJson(body): ValidJson<ModerationRequest>,
) -> Result<Json<Moderation>, Failure> {
    let moderation = state.gateway.moderation().ok_or(ErrorCode::ModelNotExist)?;
    let judged = moderation
        .judge(silica_engine::ModerationRequest {
            model: body.model,
            input: body.input.into(),
            texts: body.texts,
            has_images: body.has_images,
            place: None,
        })
        .await?;
    Ok(Json(Moderation {
        id: format!("modr-{}", RequestId::new(&*state.clock)),
        model: judged.model,
        results: judged.results.into_iter().map(result).collect(),
    }))
}

fn result(judgement: Judgement) -> ModerationResult {
    ModerationResult {
        flagged: judgement.flagged,
        categories: judgement.categories,
        category_scores: judgement.scores,
        category_applied_input_types: judgement.applied,
    }
}
