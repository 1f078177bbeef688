//! The body of an embedding request.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::EncodingFormat;
use crate::parameters::{integer_within, model};
use crate::reader::{Kind, Object, Path, list, string};
use crate::{ApiError, ErrorCode, ForwardableBody, MemberSpans, RequestBody};

/// An embedding request, read and checked. `user` and unknown fields are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmbeddingRequest {
    /// The model's catalogue name, not empty.
    pub model: String,
    /// 1 to 32 texts, none empty.
    pub inputs: Vec<String>,
    /// The form of the vectors.
    pub encoding_format: EncodingFormat,
    /// The length that the vectors are cut to, at least 1; `None` leaves them as they are.
    pub dimensions: Option<u32>,
}

const KNOWN: &[&str] = &["model", "input", "encoding_format", "dimensions"];

/// The most texts of one request.
const MOST_INPUTS: usize = 32;
/// The most dimensions; no model is known that has more.
const MOST_DIMENSIONS: u32 = 65_536;

impl RequestBody for EmbeddingRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        Self::from_json_with_spans(text).map(|(request, _)| request)
    }
}

impl ForwardableBody for EmbeddingRequest {
    fn from_json_with_spans(text: &str) -> Result<(Self, MemberSpans), ApiError> {
        let (body, spans) = Object::read_forwardable(text, KNOWN)?;
        Ok((Self::read(&body)?, spans))
    }
}

impl EmbeddingRequest {
    fn read(body: &Object<'_, '_>) -> Result<Self, ApiError> {
        Ok(Self {
            model: body.optional("model", model)?.ok_or(ErrorCode::ModelRequired)?,
            inputs: body.optional("input", inputs)?.ok_or(ErrorCode::InputRequired)?,
            encoding_format: body
                .optional("encoding_format", encoding_format)?
                .unwrap_or_default(),
            dimensions: body.optional("dimensions", |at, raw| {
                integer_within(at, raw, 1, MOST_DIMENSIONS)
            })?,
        })
    }
}

/// Reads a text or a list of texts.
fn inputs(at: Path<'_>, raw: &RawValue) -> Result<Vec<String>, ApiError> {
    let inputs = match Kind::of(raw) {
        Kind::String => vec![input(at, raw)?],
        Kind::Array => several(at, raw)?,
        Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
            return Err(at.fault("Input should be a valid string or a list of strings"));
        }
    };
    if inputs.is_empty() {
        let text = "List should have at least 1 item after validation";
        return Err(at.fault_with(ErrorCode::InputRequired, text));
    }
    Ok(inputs)
}

fn several(at: Path<'_>, raw: &RawValue) -> Result<Vec<String>, ApiError> {
    let (mut count, mut texts) = (0_usize, Vec::new());
    list(at, raw, |item, raw| {
        count += 1;
        match Kind::of(raw) {
            // The rest is only counted, for the error.
            Kind::String if count > MOST_INPUTS => Ok(()),
            Kind::String => input(item, raw).map(|text| texts.push(text)),
            Kind::Number | Kind::Array => Err(at.fault("Token ids are not supported; send the text")),
            Kind::Object | Kind::Bool | Kind::Null => Err(item.fault("Input should be a valid string")),
        }
    })?;
    if count > MOST_INPUTS {
        let text = format!("input batch size {count} > maximum allowed batch size {MOST_INPUTS}");
        return Err(ApiError::with_message(ErrorCode::EntityTooLarge, text));
    }
    Ok(texts)
}

fn input(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    let text = string(at, raw)?;
    if text.is_empty() {
        return Err(at.fault("String should have at least 1 character"));
    }
    Ok(text)
}

fn encoding_format(at: Path<'_>, raw: &RawValue) -> Result<EncodingFormat, ApiError> {
    match string(at, raw)?.as_str() {
        "float" => Ok(EncodingFormat::Float),
        "base64" => Ok(EncodingFormat::Base64),
        _ => Err(at.fault("Input should be 'float' or 'base64'")),
    }
}

/// An embedding request. Unknown fields are ignored, and `null` stands for "not given" in every
/// field that is not required.
#[derive(ToSchema)]
#[schema(as = EmbeddingRequest)]
pub struct EmbeddingRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "BAAI/bge-m3")]
    pub model: String,
    /// The texts, none of them empty.
    pub input: EmbeddingInputSchema,
    /// `float` for lists of numbers, `base64` for the little-endian bytes of 32-bit floats.
    pub encoding_format: Option<EncodingFormat>,
    /// The length that the vectors are cut to, for models that can.
    #[schema(minimum = 1, maximum = 65536)]
    pub dimensions: Option<u32>,
}

/// A text or up to 32.
#[derive(ToSchema, Serialize)]
#[schema(as = EmbeddingInput)]
#[serde(untagged)]
pub enum EmbeddingInputSchema {
    /// One text.
    One(String),
    /// Up to 32.
    Several(Vec<String>),
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        assert_eq!(
            crate::tests::documented_fields(&EmbeddingRequestSchema::schema()),
            crate::tests::sorted(KNOWN)
        );
    }
}
