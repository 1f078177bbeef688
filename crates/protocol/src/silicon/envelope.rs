//! What successful answers come in (contract platform.md 1.7).

use serde::Serialize;

/// The envelope of a successful answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Envelope<T> {
    /// Always 20000.
    #[schema(example = 20000)]
    pub code: u32,
    /// Always `OK`.
    #[schema(example = "OK")]
    pub message: &'static str,
    /// Always true.
    pub status: bool,
    /// The answer.
    pub data: T,
}

impl<T> Envelope<T> {
    /// Puts an answer into the envelope.
    pub const fn new(data: T) -> Self {
        Self {
            code: 20_000,
            message: "OK",
            status: true,
            data,
        }
    }
}
