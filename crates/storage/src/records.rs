//! What the repositories take and give: plain data whose every stored form is legal.

mod account;
mod api_key;
mod code;
mod deployment;
mod limits;
mod model;
mod price;

pub use account::{Account, AccountStatus, UsageLevel};
pub use api_key::{ApiKey, KeyHash, KeyStatus};
pub use code::UnknownCode;
pub(crate) use code::code_enum;
pub use deployment::{Deployment, EngineKind, ReplicaSpec, RoutingPolicy};
pub use limits::{LimitClass, LimitMetrics, Limits};
pub use model::{CatalogueModel, ModelFeature, ModelStatus, ModelType, SubType};
pub use price::{InvalidPriceAmount, Price, PriceAmount};
