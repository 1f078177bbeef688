//! `DELETE /admin/v1/deployments/{name}`.

use axum::extract::State;
use http::StatusCode;
use silica_api::Failure;
use silica_protocol::ErrorBody;

use crate::auth::Operator;
use crate::path::NamePath;
use crate::{AdminState, failure};

/// Deletes a deployment. Running calls go on to their end; its models stay in the catalogue.
#[utoipa::path(
    delete,
    path = "/admin/v1/deployments/{name}",
    operation_id = "delete_deployment",
    tag = "admin",
    params(("name" = String, Path, description = "The deployment's name; slashes need no escape")),
    responses(
        (status = 204, description = "The deployment is deleted"),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such deployment", body = ErrorBody),
        (status = 409, description = "Other deployments fall back to it, or it comes from the catalogue file; the text names them", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn delete_deployment(
    State(state): State<AdminState>,
    _operator: Operator,
    NamePath(name): NamePath,
) -> Result<StatusCode, Failure> {
    state
        .platform
        .delete_deployment(&name)
        .await
        .map_err(failure::platform)?;
    state.gateway.remove(&name);
    Ok(StatusCode::NO_CONTENT)
}
