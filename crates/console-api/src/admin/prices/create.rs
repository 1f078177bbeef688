//! `POST /admin/v1/prices`.

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use silica_api::{Failure, Json};
use silica_platform::NewPrice;
use silica_protocol::ErrorBody;
use silica_types::ModelName;

use super::PriceView;
use crate::auth::Operator;
use crate::wire::PriceBody;
use crate::{AdminState, failure};

/// The entry to add.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreatePrice {
    /// The model that it prices.
    #[schema(value_type = String, example = "Qwen/Qwen2.5-7B-Instruct")]
    model: ModelName,
    /// The mode of calls that it is for, such as image-to-video; absent for all that have no entry
    /// of their own.
    #[serde(default)]
    mode: Option<String>,
    /// The list price; also taken as `list`.
    #[serde(alias = "list")]
    price: PriceBody,
    /// What is charged instead while the entry is in force.
    #[serde(default)]
    promotional: Option<PriceBody>,
    /// What the catalogue shows beside the price.
    #[serde(default)]
    #[schema(example = "50% OFF")]
    badge: Option<String>,
    /// From when on it is in force; absent means now. Not in the past.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_from: Option<Timestamp>,
    /// The first moment at which it is not in force any more; absent means never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_until: Option<Timestamp>,
}

/// Adds an entry to the price book. Of several that are in force, the one that began last wins; the
/// price of a call is that of its beginning.
#[utoipa::path(
    post,
    path = "/admin/v1/prices",
    operation_id = "create_price",
    tag = "admin",
    request_body = CreatePrice,
    responses(
        (status = 200, description = "The entry", body = PriceView),
        (status = 400, description = "A field is missing, unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such model", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn create_price(
    State(state): State<AdminState>,
    _operator: Operator,
    Json(body): Json<CreatePrice>,
) -> Result<Json<PriceView>, Failure> {
    let model = body.model.clone();
    let new = NewPrice {
        model: body.model,
        mode: body.mode,
        list: body.price.into(),
        promotional: body.promotional.map(Into::into),
        badge: body.badge,
        effective_from: body.effective_from,
        effective_until: body.effective_until,
    };
    let entry = state.platform.add_price(new).await;
    Ok(Json(PriceView::new(model, entry.map_err(failure::platform)?)))
}
