//! `GET /admin/v1/models`.

use axum::extract::State;
use silica_api::{Failure, Json};
use silica_protocol::ErrorBody;

use super::ModelView;
use crate::AdminState;
use crate::auth::Operator;
use crate::page::{List, PageQuery};

/// Lists the catalogue, oldest first, deployed or not.
#[utoipa::path(
    get,
    path = "/admin/v1/models",
    operation_id = "list_catalogue_models",
    tag = "admin",
    params(
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The models", body = List<ModelView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_models(
    State(state): State<AdminState>,
    _operator: Operator,
    query: PageQuery,
) -> Result<Json<List<ModelView>>, Failure> {
    let models = state.platform.models();
    let page = query.cut(&models, |model| model.id.as_str())?;
    Ok(Json(List::new(page, |model| ModelView::from(model.as_ref()))))
}
