//! `POST /embeddings` (contract section 6).

mod request;
mod response;

pub use request::{EmbeddingRequest, EmbeddingRequestSchema};
pub use response::{Embedding, EmbeddingList, EmbeddingUsage, EncodingFormat, Vector};
