//! Wire types of the public API: requests with their validation, responses, the contract's error
//! codes. Serde only, no I/O: the gateway, the handlers and the tests share them.
//!
//! A request type implements [`RequestBody`]; what it returns is valid, and what it refuses is
//! refused with a code of the contract and a text that never repeats the caller's content.

mod dialect;
mod error;
mod error_code;
pub mod openai;
mod reader;
pub mod silicon;

pub use dialect::{ErrorDialect, RenderedError};
pub use error::{ApiError, ErrorBody};
pub use error_code::ErrorCode;
pub use reader::RequestBody;
