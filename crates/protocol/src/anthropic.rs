//! Wire types of Anthropic's dialect.

mod error;
pub mod messages;

pub use error::{AnthropicError, AnthropicErrorDetail};
