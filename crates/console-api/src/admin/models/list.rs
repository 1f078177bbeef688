//! `GET /admin/v1/models`.

use std::fmt;
use std::str::FromStr;

use axum::extract::State;
use jiff::Timestamp;
use silica_api::{Failure, Json};
use silica_platform::CatalogueModel;
use silica_protocol::ErrorBody;
use silica_types::ModelName;

use super::ModelView;
use crate::AdminState;
use crate::auth::Operator;
use crate::page::{List, PageQuery};

/// What orders the list; on the wire the microseconds since 1970 and the id, joined by `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ModelCursor {
    created_at: Timestamp,
    id: ModelName,
}

impl From<&CatalogueModel> for ModelCursor {
    fn from(model: &CatalogueModel) -> Self {
        Self {
            created_at: model.created_at,
            id: model.id.clone(),
        }
    }
}

impl fmt::Display for ModelCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}_{}", self.created_at.as_microsecond(), self.id)
    }
}

/// The text is no cursor of this list.
#[derive(Debug)]
struct InvalidCursor;

impl FromStr for ModelCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (microseconds, id) = text.split_once('_').ok_or(InvalidCursor)?;
        let microseconds = microseconds.parse().map_err(|_| InvalidCursor)?;
        Ok(Self {
            created_at: Timestamp::from_microsecond(microseconds).map_err(|_| InvalidCursor)?,
            id: ModelName::new(id).map_err(|_| InvalidCursor)?,
        })
    }
}

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
    let page = query.cut(&models, |model| ModelCursor::from(model.as_ref()))?;
    let now = state.clock.now();
    Ok(Json(List::new(page, |model| ModelView::new(model, now))))
}
