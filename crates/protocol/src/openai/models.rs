//! `GET /models` (contract section 13).

use serde::Serialize;

/// The answer of `GET /models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: &'static str,
    /// The models, in the catalogue's order.
    pub data: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Model {
    /// The name to be sent as `model`.
    #[schema(example = "silica/tiny-chat")]
    pub id: String,
    /// Always `model`.
    #[schema(example = "model")]
    pub object: &'static str,
    /// Always 0, as the imitated service has it.
    pub created: u64,
    /// Always empty, as the imitated service has it.
    pub owned_by: &'static str,
}

impl Model {
    /// Describes the model with this name.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            object: "model",
            created: 0,
            owned_by: "",
        }
    }
}

impl ModelList {
    /// Lists models in the order given.
    pub fn new(data: Vec<Model>) -> Self {
        Self { object: "list", data }
    }
}
