//! Plain types that every crate shares: ids, names, counts, clock, secrets.
//!
//! Owns no I/O, no async and no storage; a type belongs here only when two crates that do not
//! know each other must agree on it.

mod clock;
mod ids;
mod model_name;
mod secret;
mod token_count;
mod trace_id;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use ids::{AccountId, ApiKeyId, RequestId, new_uuid};
pub use model_name::{InvalidModelName, ModelName};
pub use secret::Secret;
pub use token_count::TokenCount;
pub use trace_id::{InvalidTraceId, TraceId};
