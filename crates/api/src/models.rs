//! `GET /models` and `GET /models/{id}` (contract section 13).

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use silica_platform::{CatalogueModel, ModelType, SubType};
use silica_protocol::openai::{Model, ModelList};
use silica_protocol::{ApiError, ErrorBody, ErrorCode};

use crate::{ApiState, CallerAuth, Failure, Json};

/// Lists the models that can be called.
///
/// In the catalogue's order. Without a filter, all of them.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "models",
    params(
        ("type" = Option<String>, Query, description = "text, image, audio or video"),
        ("sub_type" = Option<String>, Query, description = "chat, embedding, reranker, text-to-image, image-to-image, speech-to-text, text-to-speech or text-to-video"),
    ),
    responses(
        (status = 200, description = "The models", body = ModelList),
        (status = 400, description = "A filter has an unknown value", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list_models(
    State(state): State<ApiState>,
    CallerAuth(_caller): CallerAuth,
    RawQuery(query): RawQuery,
) -> Result<Json<ModelList>, Failure> {
    let filter = Filter::parse(query.as_deref().unwrap_or_default())?;
    let catalogue = state.platform.catalogue();
    let listed = catalogue.listed().filter(|model| filter.matches(model));
    Ok(Json(ModelList::new(
        listed.map(|model| Model::new(model.id.as_str())).collect(),
    )))
}

/// Describes one model.
///
/// Not in the imitated service's documentation, but OpenAI clients call it.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    operation_id = "get_model",
    tag = "models",
    params(("id" = String, Path, description = "The model's name; slashes need no escape")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 404, description = "There is no such model", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn get_model(
    State(state): State<ApiState>,
    CallerAuth(_caller): CallerAuth,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, Failure> {
    // Not `NotFound`: in the dialect of February 2025 that is the plain text of an unknown path.
    let missing = || ApiError::new(ErrorCode::ModelNotFound);
    // A path that is not UTF-8 names nothing.
    let Path(id) = id.map_err(|_| missing())?;
    let catalogue = state.platform.catalogue();
    let model = catalogue.listed().find(|model| model.id.as_str() == id);
    Ok(Json(Model::new(model.ok_or_else(missing)?.id.as_str())))
}

/// Which models are listed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    model_type: Option<ModelType>,
    sub_type: Option<SubType>,
}

impl Filter {
    /// Reads a query string. Clients send oddities such as `?&sub_type=chat`; empty values and
    /// unknown names do not filter.
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match &*name {
                "type" => {
                    let parsed = value.parse();
                    filter.model_type = Some(
                        parsed
                            .map_err(|_| unknown("type", ModelType::ALL.iter().map(|kind| kind.as_str())))?,
                    );
                }
                "sub_type" => {
                    let parsed = value.parse();
                    filter.sub_type =
                        Some(parsed.map_err(|_| {
                            unknown("sub_type", SubType::ALL.iter().map(|kind| kind.as_str()))
                        })?);
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    fn matches(&self, model: &CatalogueModel) -> bool {
        self.model_type.is_none_or(|wanted| model.model_type == wanted)
            && self.sub_type.is_none_or(|wanted| model.sub_type == wanted)
    }
}

fn unknown(name: &str, values: impl Iterator<Item = &'static str>) -> ApiError {
    let known: Vec<&str> = values.collect();
    ApiError::invalid(format!("{name}: Input should be one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_query_strings_are_read() {
        let chat = Filter {
            model_type: None,
            sub_type: Some(SubType::Chat),
        };
        assert_eq!(Filter::parse("&sub_type=chat"), Ok(chat));
        assert_eq!(Filter::parse("type=&other=1&&"), Ok(Filter::default()));
    }

    #[test]
    fn unknown_values_are_refused_with_the_known_ones() {
        let error = Filter::parse("type=texts").unwrap_err();
        assert_eq!(
            error.message,
            "type: Input should be one of text, image, audio, video"
        );
    }
}
