//! One inference call: find the model's deployment, choose a replica, run the call, account for
//! it exactly once.
//!
//! Knows engines only through the ports of `silica-engine` and accounts only through the
//! snapshots of `silica-platform`; nothing here waits for a database or speaks HTTP.

mod admitted;
mod breaker;
mod call;
mod error;
mod gateway;
mod loader;
mod record;
mod registry;
mod replica;
mod routes;
mod work;

pub use admitted::{Admitted, Answered};
pub use call::Call;
pub use error::{DeployError, GatewayError, LoadError, error_chain};
pub use gateway::{Gateway, Prepared};
pub use loader::EngineLoader;
pub use record::Delivery;
