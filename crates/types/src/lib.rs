//! Plain types that every crate shares: ids, names, counts, clock, secrets.
//!
//! Owns no I/O, no async and no storage; a type belongs here only when two crates that do not
//! know each other must agree on it.

mod clock;
mod code;
mod ids;
mod image;
mod media_parts;
mod model_name;
mod money;
mod secret;
mod token_count;
mod trace_id;
mod usage_source;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use code::UnknownCode;
pub use ids::{AccountId, ApiKeyId, BucketId, CreditId, LevelPackageId, RequestId, new_uuid};
pub use image::{Image, ImageDetail};
pub use media_parts::MediaParts;
pub use model_name::{InvalidModelName, ModelName};
pub use money::{InvalidMoney, Money};
pub use secret::Secret;
pub use token_count::TokenCount;
pub use trace_id::{InvalidTraceId, SpanParent, TraceId};
pub use usage_source::UsageSource;

/// What [`code_enum`] writes its code with.
#[doc(hidden)]
pub use serde;
