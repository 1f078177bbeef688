//! The ports of models that answer in one piece: embeddings and rerank.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use silica_types::TokenCount;

use crate::{EngineError, Spent, Usage, WireRequest};

/// Turns texts into vectors.
#[async_trait]
pub trait EmbedEngine: Send + Sync {
    /// Checks a request and counts its tokens. Nothing is queued. Dropping the future cancels it.
    ///
    /// # Errors
    /// Whatever is wrong with the request itself.
    async fn prepare(
        &self,
        request: Arc<EmbedRequest>,
    ) -> Result<Box<dyn PreparedWhole<Embeddings>>, EngineError>;
}

/// Orders documents by how well they answer a query.
#[async_trait]
pub trait RerankEngine: Send + Sync {
    /// Checks a request and counts its tokens. Nothing is queued. Dropping the future cancels it.
    ///
    /// # Errors
    /// Whatever is wrong with the request itself.
    async fn prepare(
        &self,
        request: Arc<RerankRequest>,
    ) -> Result<Box<dyn PreparedWhole<Ranking>>, EngineError>;
}

/// A request whose size is known. Dropping it leaves nothing behind.
#[async_trait]
pub trait PreparedWhole<T>: Send {
    /// The tokens of the request; an estimate where the engine cannot count.
    fn prompt_tokens(&self) -> TokenCount;

    /// The most tokens that the request can be: what its price is reserved by.
    fn prompt_limit(&self) -> TokenCount {
        self.prompt_tokens()
    }

    /// Where it is told what the call costs if it is given up before its answer; `None` when that is
    /// nothing.
    fn spent(&self) -> Option<Spent> {
        None
    }

    /// Computes the answer. Dropping the future cancels it.
    ///
    /// # Errors
    /// When the engine refuses or fails.
    async fn run(self: Box<Self>) -> Result<WholeAnswer<T>, EngineError>;
}

/// An answer in one piece.
#[derive(Debug, Clone)]
pub struct WholeAnswer<T> {
    /// What it consumed.
    pub usage: Usage,
    /// The answer itself.
    pub content: WholeContent<T>,
}

/// What an answer in one piece consists of.
#[derive(Debug, Clone)]
pub enum WholeContent<T> {
    /// The answer of an engine that the request was forwarded to: a JSON object, fit for the client.
    Forwarded(Bytes),
    /// The answer in terms of the port.
    Computed(T),
}

/// Texts to embed, validated.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    /// At least one text.
    pub inputs: Vec<String>,
    /// The length that the vectors are cut to; `None` leaves them as they are.
    pub dimensions: Option<u32>,
    /// The request as it came, if it came in OpenAI's dialect.
    pub wire: Option<WireRequest>,
}

/// One vector for each input, in order; all of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings(pub Vec<Vec<f32>>);

/// Documents to order, validated.
#[derive(Debug, Clone)]
pub struct RerankRequest {
    /// What the documents should answer.
    pub query: String,
    /// At least one document.
    pub documents: Vec<String>,
    /// How many of the best are wanted; `None` wants all.
    pub top_n: Option<u32>,
    /// What the model is to look for, of models that are told; `None` takes their usual instruction.
    pub instruction: Option<String>,
    /// The most pieces that a long document is cut into; `None` leaves it to the model.
    pub max_chunks_per_document: Option<u32>,
    /// The tokens that neighbouring pieces share; `None` leaves it to the model.
    pub overlap_tokens: Option<u32>,
    /// The request as it came, if it came in the dialect of the engine.
    pub wire: Option<WireRequest>,
}

/// The documents that are wanted, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking(pub Vec<RankedDocument>);

/// A document's place in a ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedDocument {
    /// Which document of the request, from 0.
    pub index: u32,
    /// How well it answers the query, 0 to 1.
    pub score: f32,
}
