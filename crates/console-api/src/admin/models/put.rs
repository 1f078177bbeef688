//! `PUT /admin/v1/models`.

use axum::extract::State;
use serde::Deserialize;
use serde::de::IgnoredAny;
use silica_api::{Failure, Json};
use silica_platform::{ModelFeature, ModelStatus, ModelType, NewModel, SubType, VisionRule};
use silica_protocol::{ApiError, ErrorBody};
use silica_types::ModelName;

use super::ModelView;
use crate::auth::Operator;
use crate::wire::{LimitsBody, PriceBody};
use crate::{AdminState, failure};

/// The model to store; it replaces one of the same id as a whole.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutModel {
    /// The name that clients send.
    #[schema(value_type = String, example = "Qwen/Qwen2.5-7B-Instruct")]
    id: ModelName,
    /// text, image, audio or video.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "text")]
    model_type: ModelType,
    /// What the model does; must belong to the type.
    #[schema(value_type = String, example = "chat")]
    sub_type: SubType,
    /// Tokens of prompt and answer together; absent leaves that to the engine.
    #[serde(default)]
    context_length: Option<u32>,
    /// Any of json, tools, fim, prefix, reasoning, vision, fine-tune.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    features: Option<Vec<ModelFeature>>,
    /// The rule by which images in prompts are counted where the engine does not count them, for models with the
    /// feature vision: qwen-vl, internvl2 or deepseek-vl2. Absent: that of well-known names, else an estimate.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    vision: Option<VisionRule>,
    /// Labels.
    #[serde(default)]
    tags: Option<Vec<String>>,
    /// What it costs; absent means free. One that differs from the list price in force becomes an
    /// entry of the price book, in force at once.
    #[serde(default)]
    price: Option<PriceBody>,
    /// Its rate limits; absent means none.
    #[serde(default)]
    limits: Option<LimitsBody>,
    /// Whether only verified accounts may call it.
    #[serde(default)]
    real_name: Option<bool>,
    /// Whether only the paid balance may pay for it.
    #[serde(default)]
    charge_only: Option<bool>,
    /// `normal` or `disabled`; absent means normal.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    status: Option<ModelStatus>,
    /// A text for people.
    #[serde(default)]
    description: Option<String>,
    /// Read only; taken and ignored, so that a model that was read can be put back.
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: IgnoredAny,
    /// As `created_at`: the price book says it.
    #[serde(default, rename = "promotional")]
    #[schema(ignore)]
    _promotional: IgnoredAny,
    /// As `promotional`.
    #[serde(default, rename = "badge")]
    #[schema(ignore)]
    _badge: IgnoredAny,
    /// As `created_at`.
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: IgnoredAny,
}

impl TryFrom<PutModel> for NewModel {
    type Error = ApiError;

    fn try_from(body: PutModel) -> Result<Self, ApiError> {
        Ok(Self {
            id: body.id,
            model_type: body.model_type,
            sub_type: body.sub_type,
            context_length: body.context_length,
            features: body.features.unwrap_or_default(),
            vision: body.vision,
            tags: body.tags.unwrap_or_default(),
            price: body.price.unwrap_or_default().into(),
            limits: body.limits.map(TryInto::try_into).transpose()?,
            real_name: body.real_name.unwrap_or(false),
            charge_only: body.charge_only.unwrap_or(false),
            status: body.status.unwrap_or(ModelStatus::Normal),
            description: body.description.unwrap_or_default(),
        })
    }
}

/// Stores a model in the catalogue. Clients see it once a deployment answers for it.
#[utoipa::path(
    put,
    path = "/admin/v1/models",
    operation_id = "put_model",
    tag = "admin",
    request_body = PutModel,
    responses(
        (status = 200, description = "The model as it is stored", body = ModelView),
        (status = 400, description = "A field is missing, unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 409, description = "The model comes from the catalogue file", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn put_model(
    State(state): State<AdminState>,
    _operator: Operator,
    Json(body): Json<PutModel>,
) -> Result<Json<ModelView>, Failure> {
    let stored = state
        .platform
        .put_model(body.try_into()?)
        .await
        .map_err(failure::platform)?;
    Ok(Json(ModelView::new(&stored, state.clock.now())))
}
