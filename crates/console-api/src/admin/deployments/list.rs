//! `GET /admin/v1/deployments`.

use axum::extract::State;
use silica_api::{Failure, Json};
use silica_protocol::ErrorBody;

use super::DeploymentView;
use crate::AdminState;
use crate::auth::Operator;
use crate::page::{List, PageQuery};

/// Lists the deployments by name.
#[utoipa::path(
    get,
    path = "/admin/v1/deployments",
    operation_id = "list_deployments",
    tag = "admin",
    params(
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The deployments", body = List<DeploymentView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_deployments(
    State(state): State<AdminState>,
    _operator: Operator,
    query: PageQuery,
) -> Result<Json<List<DeploymentView>>, Failure> {
    let deployments = state.platform.deployments();
    let page = query.cut(&deployments, |deployment| deployment.name.clone())?;
    Ok(Json(List::new(page, |deployment| {
        DeploymentView::from(deployment.as_ref())
    })))
}
