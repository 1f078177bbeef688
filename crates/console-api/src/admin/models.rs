//! `/admin/v1/models`.

pub(crate) mod list;
pub(crate) mod put;

use jiff::Timestamp;
use serde::Serialize;
use silica_platform::{CatalogueModel, ModelFeature, ModelStatus, ModelType, SubType, VisionRule};

use crate::wire::{LimitsBody, PriceBody};

/// A catalogue model as the operator sees it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelView {
    /// The name that clients send.
    id: String,
    /// text, image, audio or video.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    model_type: ModelType,
    /// What the model does.
    #[schema(value_type = String)]
    sub_type: SubType,
    /// Tokens of prompt and answer together; `null` leaves that to the engine.
    context_length: Option<u32>,
    /// What else it can do, in a fixed order.
    #[schema(value_type = Vec<String>)]
    features: Vec<ModelFeature>,
    /// The rule by which its images are counted; `null` leaves that to its name, or to an estimate.
    #[schema(value_type = Option<String>)]
    vision: Option<VisionRule>,
    /// Labels.
    tags: Vec<String>,
    /// Its list price now, for calls without a mode; see the price book for others.
    price: PriceBody,
    /// What is charged instead now; `null` when nothing is.
    promotional: Option<PriceBody>,
    /// What is shown beside the price now.
    badge: Option<String>,
    /// Its rate limits; `null` means none.
    limits: Option<LimitsBody>,
    /// Whether only verified accounts may call it.
    real_name: bool,
    /// Whether only the paid balance may pay for it.
    charge_only: bool,
    /// `normal` or `disabled`.
    #[schema(value_type = String)]
    status: ModelStatus,
    /// A text for people.
    description: String,
    /// When it was first put.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last put.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl ModelView {
    /// Shows a model with its price at a time.
    pub(super) fn new(model: &CatalogueModel, now: Timestamp) -> Self {
        let price = model.price_at(now, None);
        Self {
            id: model.id.to_string(),
            model_type: model.model_type,
            sub_type: model.sub_type,
            context_length: model.context_length,
            features: model.features.clone(),
            vision: model.vision,
            tags: model.tags.clone(),
            price: price.map(|entry| entry.list.clone().into()).unwrap_or_default(),
            promotional: price.and_then(|entry| Some(entry.promotional.clone()?.into())),
            badge: price.and_then(|entry| entry.badge.clone()),
            limits: model.limits.map(LimitsBody::from),
            real_name: model.real_name,
            charge_only: model.charge_only,
            status: model.status,
            description: model.description.clone(),
            created_at: model.created_at,
            updated_at: model.updated_at,
        }
    }
}
