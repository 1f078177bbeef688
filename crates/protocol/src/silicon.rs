//! Wire types of endpoints that are SiliconFlow's own.

mod envelope;
mod user;

pub use envelope::Envelope;
pub use user::UserInfo;
