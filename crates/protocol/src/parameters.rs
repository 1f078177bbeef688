//! Readers of the single parameters of requests that generate text, with their ranges.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::openai::chat::tool::{MOST_SCHEMA_BYTES, schema};
use crate::reader::{Kind, Object, Path, boolean, dictionary, integer, list, number, string};
use crate::{ApiError, ErrorCode};

/// How many of the most likely tokens are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TopK {
    /// All of them; -1 on the wire.
    All,
    /// This many, 1 to 100.
    Most(u8),
}

/// The form of the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows this schema.
    JsonSchema(Value),
}

/// The borders of a number.
#[derive(Clone, Copy)]
pub(crate) enum Lowest {
    /// The border itself is allowed.
    From(f32),
    /// It is not.
    Above(f32),
}

/// Reads the name of a model.
pub(crate) fn model(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    let name = string(at, raw)?;
    // The wire's answer to an empty name is the generic text, not "required" (section 1.5).
    if name.is_empty() {
        Err(ApiError::new(ErrorCode::ParamInvalid))
    } else {
        Ok(name)
    }
}

/// Checks `stream_options`. Usage is in every chunk anyway, so `include_usage` changes nothing.
pub(crate) fn stream_options(at: Path<'_>, raw: &RawValue) -> Result<(), ApiError> {
    Object::read(at, raw, &["include_usage"])?
        .optional("include_usage", boolean)
        .map(drop)
}

/// Reads a number between two borders; the upper one is allowed.
pub(crate) fn within(at: Path<'_>, raw: &RawValue, lowest: Lowest, highest: f32) -> Result<f32, ApiError> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sampling computes in f32; the borders are exact in it"
    )]
    let value = number(at, raw)? as f32;
    match lowest {
        Lowest::From(border) if value < border => {
            return Err(at.fault(&format!("Input should be greater than or equal to {border}")));
        }
        Lowest::Above(border) if value <= border => {
            return Err(at.fault(&format!("Input should be greater than {border}")));
        }
        Lowest::From(_) | Lowest::Above(_) => {}
    }
    if value > highest {
        return Err(at.fault(&format!("Input should be less than or equal to {highest}")));
    }
    Ok(value)
}

/// Reads an integer between two borders, both allowed.
pub(crate) fn integer_within(
    at: Path<'_>,
    raw: &RawValue,
    lowest: u32,
    highest: u32,
) -> Result<u32, ApiError> {
    let value = integer(at, raw)?;
    if value < i64::from(lowest) {
        return Err(at.fault(&format!("Input should be greater than or equal to {lowest}")));
    }
    u32::try_from(value)
        .ok()
        .filter(|value| *value <= highest)
        .ok_or_else(|| at.fault(&format!("Input should be less than or equal to {highest}")))
}

/// Reads `max_tokens`. There is no upper border: what a model can give is a matter of its context.
pub(crate) fn max_tokens(at: Path<'_>, raw: &RawValue) -> Result<u32, ApiError> {
    let value = integer(at, raw)?;
    if value < 1 {
        return Err(at.fault("Input should be greater than or equal to 1"));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

/// Reads `n`.
pub(crate) fn choices(at: Path<'_>, raw: &RawValue, most: u32) -> Result<u32, ApiError> {
    let value = integer(at, raw)?;
    if value < 1 {
        return Err(at.fault("Input should be greater than or equal to 1"));
    }
    u32::try_from(value)
        .ok()
        .filter(|value| *value <= most)
        .ok_or_else(|| ApiError::with_message(ErrorCode::TooLargeN, format!("n must be at most {most}.")))
}

/// Reads `top_k`, which is a float on the wire.
pub(crate) fn top_k(at: Path<'_>, raw: &RawValue) -> Result<TopK, ApiError> {
    let fault = || ApiError::new(ErrorCode::InvalidTopK);
    number(at, raw)?;
    match integer(at, raw).map_err(|_| fault())? {
        -1 => Ok(TopK::All),
        value @ 1..=100 => u8::try_from(value).map(TopK::Most).map_err(|_| fault()),
        _ => Err(fault()),
    }
}

/// Reads `seed`: any 64-bit integer, negative ones included.
pub(crate) fn seed(at: Path<'_>, raw: &RawValue) -> Result<u64, ApiError> {
    match serde_json::from_str::<u64>(raw.get()) {
        Ok(seed) => Ok(seed),
        Err(_) => integer(at, raw).map(i64::cast_unsigned),
    }
}

/// The most bytes of a stop text. Every choice looks for it in every token, and no model writes a
/// kilobyte that somebody could foresee.
const MOST_STOP_BYTES: usize = 1024;

/// Reads `stop`: a text or up to four, each of at most 1024 bytes. Empty texts are left out, since clients send them for
/// "none" and they cannot end anything.
pub(crate) fn stop(at: Path<'_>, raw: &RawValue) -> Result<Vec<String>, ApiError> {
    let texts = match Kind::of(raw) {
        Kind::String => vec![stop_text(at, raw)?],
        Kind::Array => {
            let mut count = 0;
            list(at, raw, |item, raw| {
                count += 1;
                if count > 4 {
                    return Err(at.fault("List should have at most 4 items after validation"));
                }
                stop_text(item, raw)
            })?
        }
        Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
            return Err(at.fault("Input should be a valid string or a list of strings"));
        }
    };
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

fn stop_text(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    let text = string(at, raw)?;
    if text.len() > MOST_STOP_BYTES {
        return Err(at.fault("String should have at most 1024 bytes"));
    }
    Ok(text)
}

/// Reads `logit_bias`: token ids as keys, -100 to 100 as values; of a repeated key the last one
/// counts. At most 1024 entries, since each costs time at every generated token. Ordered by id.
pub(crate) fn logit_bias(at: Path<'_>, raw: &RawValue) -> Result<Vec<(u32, f32)>, ApiError> {
    const MOST_ENTRIES: usize = 1024;
    let mut entries = BTreeMap::new();
    dictionary(at, raw, |key, raw| {
        // The key is the caller's text, so it does not appear in the error.
        let token = token_id(key).ok_or_else(|| at.fault("Keys should be token ids"))?;
        if entries.len() == MOST_ENTRIES && !entries.contains_key(&token) {
            return Err(at.fault("Dictionary should have at most 1024 items after validation"));
        }
        entries.insert(token, within(at, raw, Lowest::From(-100.0), 100.0)?);
        Ok(())
    })?;
    Ok(entries.into_iter().collect())
}

/// A token id has one spelling, so that "5", "05" and "+5" are not three biases of one token.
fn token_id(key: &str) -> Option<u32> {
    key.parse().ok().filter(|id: &u32| id.to_string() == key)
}

/// Reads the schema of a form; one without asks for any object. Its `name`, `description` and `strict` are
/// tolerated without effect: a form is always kept.
fn schema_of_form(at: Path<'_>, raw: &RawValue) -> Result<Value, ApiError> {
    let form = Object::read(at, raw, &["schema"])?;
    let schema = form.optional("schema", bounded_schema)?;
    Ok(schema.unwrap_or_else(|| serde_json::json!({"type": "object"})))
}

/// Reads a JSON Schema of bounded length.
pub(crate) fn bounded_schema(at: Path<'_>, raw: &RawValue) -> Result<Value, ApiError> {
    if raw.get().len() > MOST_SCHEMA_BYTES {
        return Err(at.fault("A schema should have at most 1048576 bytes"));
    }
    schema(at, raw)
}

/// Reads `response_format`.
pub(crate) fn response_format(at: Path<'_>, raw: &RawValue) -> Result<ResponseFormat, ApiError> {
    let format = Object::read(at, raw, &["type", "json_schema"])?;
    match format.required("type", string)?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => format
            .required("json_schema", schema_of_form)
            .map(ResponseFormat::JsonSchema),
        _ => Err(format
            .path("type")
            .fault("Input should be 'text', 'json_object' or 'json_schema'")),
    }
}
