//! `GET /admin/v1/prices`.

use axum::extract::{RawQuery, State};
use silica_api::{Failure, Json};
use silica_platform::PriceVersion;
use silica_protocol::{ApiError, ErrorBody};
use silica_types::ModelName;

use super::PriceView;
use crate::auth::Operator;
use crate::page::{List, PageQuery};
use crate::{AdminState, failure};

/// Lists the price book, past and future, oldest entry first.
#[utoipa::path(
    get,
    path = "/admin/v1/prices",
    operation_id = "list_prices",
    tag = "admin",
    params(
        ("model" = Option<String>, Query, description = "The part of one model; of all when absent"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The entries", body = List<PriceView>),
        (status = 400, description = "The query is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such model", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_prices(
    State(state): State<AdminState>,
    _operator: Operator,
    RawQuery(filter): RawQuery,
    query: PageQuery,
) -> Result<Json<List<PriceView>>, Failure> {
    let model = model_of(filter.as_deref().unwrap_or_default())?;
    let after = query.cursor()?.map(PriceVersion);
    let page = state.platform.prices(model.as_ref(), after, query.limit).await;
    let page = page.map_err(failure::platform)?;
    Ok(Json(List::new(page, |(model, entry)| {
        PriceView::new(model.clone(), entry.clone())
    })))
}

fn model_of(query: &str) -> Result<Option<ModelName>, ApiError> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let model = parameters.find(|(name, _)| name == "model");
    model
        .map(|(_, model)| ModelName::new(&model))
        .transpose()
        .map_err(|error| ApiError::invalid(format!("model: {error}")))
}
