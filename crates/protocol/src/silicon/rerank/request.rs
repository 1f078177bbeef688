//! The body of a rerank request.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::parameters::{integer_within, model};
use crate::reader::{Kind, Object, Path, boolean, list, string};
use crate::{ApiError, ErrorCode, ForwardableBody, MemberSpans, RequestBody};

/// A rerank request, read and checked. Unknown fields are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RerankRequest {
    /// The model's catalogue name, not empty.
    pub model: String,
    /// What the documents should answer, not empty.
    pub query: String,
    /// At least one document.
    pub documents: Vec<String>,
    /// How many of the best are wanted, at least 1; `None` wants all.
    pub top_n: Option<u32>,
    /// Whether the answer repeats the documents.
    pub return_documents: bool,
    /// What the model is to look for, of models that are told; `None` leaves it to the model.
    pub instruction: Option<String>,
    /// The most pieces that a long document is cut into, at least 1; `None` leaves it to the model.
    pub max_chunks_per_doc: Option<u32>,
    /// The tokens that neighbouring pieces share, 0 to 80; `None` leaves it to the model.
    pub overlap_tokens: Option<u32>,
}

const KNOWN: &[&str] = &[
    "model",
    "query",
    "documents",
    "top_n",
    "return_documents",
    "instruction",
    "max_chunks_per_doc",
    "overlap_tokens",
];

/// The most documents of one request: far more than any model takes, and few enough that keeping
/// them costs no more than the body itself.
const MOST_DOCUMENTS: usize = 65_536;

impl RequestBody for RerankRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        Self::from_json_with_spans(text).map(|(request, _)| request)
    }
}

impl ForwardableBody for RerankRequest {
    fn from_json_with_spans(text: &str) -> Result<(Self, MemberSpans), ApiError> {
        let (body, spans) = Object::read_forwardable(text, KNOWN)?;
        Ok((Self::read(&body)?, spans))
    }
}

impl RerankRequest {
    fn read(body: &Object<'_, '_>) -> Result<Self, ApiError> {
        Ok(Self {
            model: body.optional("model", model)?.ok_or(ErrorCode::ModelRequired)?,
            query: body.optional("query", query)?.ok_or(ErrorCode::QueryRequired)?,
            documents: body
                .optional("documents", documents)?
                .ok_or(ErrorCode::DocumentsRequired)?,
            top_n: body.optional("top_n", positive)?,
            return_documents: body.optional("return_documents", boolean)?.unwrap_or(false),
            instruction: body.optional("instruction", string)?,
            max_chunks_per_doc: body.optional("max_chunks_per_doc", positive)?,
            overlap_tokens: body.optional("overlap_tokens", |at, raw| integer_within(at, raw, 0, 80))?,
        })
    }
}

fn positive(at: Path<'_>, raw: &RawValue) -> Result<u32, ApiError> {
    integer_within(at, raw, 1, u32::MAX)
}

fn query(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    let text = string(at, raw)?;
    if text.is_empty() {
        let fault = "String should have at least 1 character";
        return Err(at.fault_with(ErrorCode::QueryRequired, fault));
    }
    Ok(text)
}

/// Reads the documents: texts, or objects with a `text` as older clients send them.
fn documents(at: Path<'_>, raw: &RawValue) -> Result<Vec<String>, ApiError> {
    let mut count = 0;
    let documents = list(at, raw, |item, raw| {
        count += 1;
        if count > MOST_DOCUMENTS {
            return Err(at.fault("List should have at most 65536 items after validation"));
        }
        match Kind::of(raw) {
            Kind::String => string(item, raw),
            Kind::Object => Object::read(item, raw, &["text"])?.required("text", string),
            Kind::Array | Kind::Bool | Kind::Null | Kind::Number => {
                Err(item.fault("Input should be a valid string"))
            }
        }
    })?;
    if documents.is_empty() {
        // Word for word the wire's answer (contract section 1.5), which names no field.
        return Err(ApiError::invalid(
            "List should have at least 1 item after validation",
        ));
    }
    Ok(documents)
}

/// A rerank request. Unknown fields are ignored, and `null` stands for "not given" in every field
/// that is not required.
#[derive(ToSchema)]
#[schema(as = RerankRequest)]
pub struct RerankRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "BAAI/bge-reranker-v2-m3")]
    pub model: String,
    /// What the documents should answer.
    #[schema(min_length = 1)]
    pub query: String,
    /// The documents; objects `{"text"}` are taken as well.
    #[schema(min_items = 1, max_items = 65536)]
    pub documents: Vec<String>,
    /// How many of the best are wanted; all when missing.
    #[schema(minimum = 1)]
    pub top_n: Option<u32>,
    /// Whether the answer repeats the documents.
    #[schema(default = false)]
    pub return_documents: Option<bool>,
    /// What the model is to look for, for models that are told (Qwen3-Reranker).
    pub instruction: Option<String>,
    /// The most pieces that a long document is cut into, for models that cut.
    #[schema(minimum = 1)]
    pub max_chunks_per_doc: Option<u32>,
    /// The tokens that neighbouring pieces share, for models that cut.
    #[schema(minimum = 0, maximum = 80)]
    pub overlap_tokens: Option<u32>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        assert_eq!(
            crate::tests::documented_fields(&RerankRequestSchema::schema()),
            crate::tests::sorted(KNOWN)
        );
    }
}
