//! `POST /completions` (contract section 4).

mod request;
mod response;
mod schema;

pub use request::CompletionRequest;
pub use response::{
    Completion, CompletionChoice, CompletionChunk, CompletionChunkChoice, CompletionLogprobs, TopTokens,
};
pub use schema::CompletionRequestSchema;
