//! Accounts, keys, catalogue and deployments: the domain and its in-memory snapshots.
//!
//! Owns the rules (what an e-mail address, a name, a price may look like), makes ids, keys and
//! time stamps, and keeps in memory whatever a call needs: [`Platform::authenticate`] and
//! [`Platform::catalogue`] never wait for the database, and go on with the last known state while
//! it is down. It knows no HTTP and no engine.

mod catalogue;
mod error;
mod keys;
mod operations;
mod platform;
mod refresh;
mod validate;

pub use catalogue::Catalogue;
pub use error::{AuthError, PlatformError};
pub use operations::{
    AccountChanges, CreatedKey, FirstOperatorError, KeyChanges, NewAccount, NewDeployment, NewKey, NewModel,
    NewReplica, level_in_force,
};
pub use platform::{Caller, Platform};
pub use silica_billing::{KeyLimits, LimitClass, LimitMetrics, Limits, Price, PriceAmount, UsageLevel};
pub use silica_storage::{
    Account, AccountStatus, ApiKey, CatalogueModel, Conflict, DatabaseUrl, Deployment, EngineKind, KeyStatus,
    ModelFeature, ModelStatus, ModelType, Page, ReplicaSpec, RoutingPolicy, Storage, StorageError, SubType,
};
