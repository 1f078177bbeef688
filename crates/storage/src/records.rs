//! What the repositories take and give: plain data whose every stored form is legal.

mod account;
mod api_key;
mod deployment;
mod model;

pub use account::{Account, AccountStatus};
pub use api_key::{ApiKey, KeyHash, KeyStatus};
pub use deployment::{Deployment, EngineKind, ReplicaSpec, RoutingPolicy};
pub use model::{CatalogueModel, ModelFeature, ModelStatus, ModelType, SubType};
