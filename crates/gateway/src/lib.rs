//! One inference call: find the model's deployment, choose a replica, run the call, account for
//! it exactly once.
//!
//! Knows engines only through the ports of `silica-engine` and accounts only through the
//! snapshots of `silica-platform`; nothing here waits for a database or speaks HTTP.

mod admitted;
mod affinity;
mod breaker;
mod call;
mod choice;
mod condition;
mod error;
mod failures;
mod gateway;
mod health;
mod images;
mod kind;
mod loader;
mod meters;
mod model_meters;
mod moderation;
mod outlier;
mod pace;
mod positions;
mod record;
mod registry;
mod replica;
mod routes;
mod summary;
mod work;

pub use admitted::{Admitted, Answered};
pub use call::Call;
pub use condition::{BreakerState, Health, ReplicaState};
pub use error::{DeployError, GatewayError, LoadError, error_chain};
pub use gateway::{Gateway, Prepared};
pub use health::HealthOptions;
pub use kind::CallKind;
pub use loader::EngineLoader;
pub use moderation::{Moderation, ModerationOptions, ModerationStage, OnFailure};
pub use record::Delivery;
pub use silica_engine::FinishReason;
pub use summary::{CallAttempt, CallSink, CallSummary};
