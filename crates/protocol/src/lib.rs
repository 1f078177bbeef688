//! Wire types of the public API: requests with their validation, responses, the contract's error
//! codes. Serde only, no I/O: the gateway, the handlers and the tests share them.
//!
//! A request type implements [`RequestBody`]; what it returns is valid, and what it refuses is
//! refused with a code of the contract and a text that never repeats the caller's content.

pub mod anthropic;
mod content;
mod dialect;
mod error;
mod error_code;
pub mod openai;
mod parameters;
mod reader;
pub mod silicon;

pub use dialect::{ErrorDialect, ErrorForm, RenderedError};
pub use error::{ApiError, ErrorBody};
pub use error_code::ErrorCode;
pub use reader::{ForwardableBody, MemberSpans, RequestBody};

#[cfg(test)]
mod tests {
    /// The names of the fields that a schema documents, in order.
    pub(crate) fn documented_fields(schema: &impl serde::Serialize) -> Vec<String> {
        let schema = serde_json::to_value(schema).unwrap();
        let mut names: Vec<String> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort_unstable();
        names
    }

    /// The names in order.
    pub(crate) fn sorted(names: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}
