//! Wire types of endpoints that are SiliconFlow's own.

mod envelope;
pub mod estimate;
pub mod rerank;
mod user;

pub use envelope::Envelope;
pub use user::UserInfo;
