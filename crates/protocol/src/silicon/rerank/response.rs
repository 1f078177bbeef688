//! The answer of a rerank request.

use serde::Serialize;
use utoipa::ToSchema;

/// The answer. Token counts stand in two places, because clients read either.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Rerank {
    /// 32 hexadecimal digits, ordered by time.
    #[schema(example = "0195ae84b2ad76a4b9190a383958da67")]
    pub id: String,
    /// The documents that are wanted, best first.
    pub results: Vec<RerankResult>,
    /// What the call consumed.
    pub meta: RerankMeta,
    /// The same.
    pub tokens: RerankTokens,
}

/// A document's place.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RerankResult {
    /// The document, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RerankDocument>,
    /// Which document of the request, from 0.
    pub index: u32,
    /// How well it answers the query, 0 to 1.
    pub relevance_score: f32,
}

/// A document of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RerankDocument {
    /// Its text.
    pub text: String,
}

/// What a rerank call consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RerankMeta {
    /// What is billed.
    pub billed_units: BilledUnits,
    /// What was read and written.
    pub tokens: RerankTokens,
}

/// What is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct BilledUnits {
    /// Tokens of the query and the documents.
    pub input_tokens: u32,
    /// Always 0.
    pub output_tokens: u32,
    /// Always 0.
    pub search_units: u32,
    /// Always 0.
    pub classifications: u32,
}

/// Token counts of a rerank call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RerankTokens {
    /// Tokens of the query and the documents.
    pub input_tokens: u32,
    /// Always 0.
    pub output_tokens: u32,
}

impl Rerank {
    /// Puts results into the answer.
    pub const fn new(id: String, results: Vec<RerankResult>, input_tokens: u32) -> Self {
        let tokens = RerankTokens {
            input_tokens,
            output_tokens: 0,
        };
        Self {
            id,
            results,
            meta: RerankMeta {
                billed_units: BilledUnits {
                    input_tokens,
                    output_tokens: 0,
                    search_units: 0,
                    classifications: 0,
                },
                tokens,
            },
            tokens,
        }
    }
}
