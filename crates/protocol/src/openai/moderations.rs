//! `POST /moderations`, in OpenAI's form.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::parameters::model;
use crate::reader::{Kind, Object, Path, list, string};
use crate::{ApiError, ErrorCode, RequestBody};

/// A request for judgements, read and checked. Unknown fields are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModerationRequest {
    /// The model to judge with, not empty.
    pub model: Option<String>,
    /// `input` as it was written: JSON.
    pub input: String,
    /// One text for each judgement: 1 to 128.
    pub texts: Vec<String>,
    /// Whether there are images beside the text.
    pub has_images: bool,
}

/// The most texts of one request, and the most parts of one text.
const MOST_INPUTS: usize = 128;

/// What is to be judged.
struct Input {
    texts: Vec<String>,
    has_images: bool,
}

impl RequestBody for ModerationRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        let body = Object::read_body(text, &["model", "input"])?;
        let read = |at: Path<'_>, raw: &RawValue| Ok((raw.get().to_owned(), input(at, raw)?));
        let (input, Input { texts, has_images }) =
            body.optional("input", read)?.ok_or(ErrorCode::InputRequired)?;
        Ok(Self {
            model: body.optional("model", model)?,
            input,
            texts,
            has_images,
        })
    }
}

/// Reads a text, a list of texts, or the parts of one.
fn input(at: Path<'_>, raw: &RawValue) -> Result<Input, ApiError> {
    match Kind::of(raw) {
        Kind::String => Ok(Input {
            texts: vec![string(at, raw)?],
            has_images: false,
        }),
        Kind::Array => several(at, raw),
        Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
            Err(at.fault("Input should be a valid string or a list of strings or parts"))
        }
    }
}

fn several(at: Path<'_>, raw: &RawValue) -> Result<Input, ApiError> {
    let (mut count, mut texts, mut parts, mut images) = (0_usize, Vec::new(), Vec::new(), 0_usize);
    list(at, raw, |item, raw| {
        count += 1;
        if count > MOST_INPUTS {
            return Err(at.fault("List should have at most 128 items after validation"));
        }
        if Kind::of(raw) == Kind::String {
            texts.push(string(item, raw)?);
            return Ok(());
        }
        let part = Object::read(item, raw, &["type", "text", "image_url"])?;
        match part.required("type", string)?.as_str() {
            "text" => parts.push(part.required("text", string)?),
            "image_url" => {
                part.required("image_url", image)?;
                images += 1;
            }
            _ => return Err(part.path("type").fault("Input should be 'text' or 'image_url'")),
        }
        Ok(())
    })?;
    let has_parts = !parts.is_empty() || images > 0;
    match (texts.is_empty(), has_parts) {
        (true, false) => Err(at.fault_with(
            ErrorCode::InputRequired,
            "List should have at least 1 item after validation",
        )),
        (false, true) => Err(at.fault("Input should be a list of strings or a list of parts, not of both")),
        (false, false) => Ok(Input {
            texts,
            has_images: false,
        }),
        (true, true) => Ok(Input {
            texts: vec![parts.join("\n")],
            has_images: images > 0,
        }),
    }
}

fn image(at: Path<'_>, raw: &RawValue) -> Result<(), ApiError> {
    let image = Object::read(at, raw, &["url"])?;
    image.required("url", string).map(drop)
}

/// What is judged.
#[derive(Debug, ToSchema)]
#[schema(as = ModerationRequest)]
#[expect(dead_code, reason = "documents the request; it is read by hand")]
pub struct ModerationRequestSchema {
    /// The model to judge with, where the operator leaves that to clients.
    model: Option<String>,
    /// A text, a list of up to 128, or the parts (`text`, `image_url`) of one.
    #[schema(value_type = Object, example = json!("A text to judge"))]
    input: serde_json::Value,
}

/// The judgements.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Moderation {
    /// A new id, `modr-` and 32 hexadecimal digits.
    pub id: String,
    /// Who judged.
    pub model: String,
    /// One for each text, in their order.
    pub results: Vec<ModerationResult>,
}

/// What one text was judged to be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModerationResult {
    /// Whether it is any of the categories.
    pub flagged: bool,
    /// Whether it is of each category.
    pub categories: BTreeMap<String, bool>,
    /// How surely, 0 to 1.
    pub category_scores: BTreeMap<String, f64>,
    /// Which kinds of input each category was looked for in, where the service tells.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub category_applied_input_types: BTreeMap<String, Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ModerationRequest, ApiError> {
        ModerationRequest::from_json(text)
    }

    #[test]
    fn a_text_a_list_and_parts_are_read() {
        for (input, texts, has_images) in [
            (r#""a""#, vec!["a"], false),
            (r#"["a", "b"]"#, vec!["a", "b"], false),
            (
                r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"b"}]"#,
                vec!["a\nb"],
                true,
            ),
            (
                r#"[{"type":"image_url","image_url":{"url":"u"}}]"#,
                vec![""],
                true,
            ),
        ] {
            let request = read(&format!(r#"{{"input":{input},"x":1}}"#)).unwrap();
            assert_eq!(request.texts, texts, "{input}");
            assert_eq!((request.input.as_str(), request.has_images), (input, has_images));
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let many = format!("[{}]", vec!["\"a\""; 129].join(","));
        for (body, code) in [
            ("{}".to_owned(), ErrorCode::InputRequired),
            (r#"{"input":[]}"#.to_owned(), ErrorCode::InputRequired),
            (r#"{"input":1}"#.to_owned(), ErrorCode::ParamInvalid),
            (r#"{"input":[1]}"#.to_owned(), ErrorCode::ParamInvalid),
            (
                r#"{"input":["a",{"type":"text","text":"b"}]}"#.to_owned(),
                ErrorCode::ParamInvalid,
            ),
            (
                r#"{"input":[{"type":"audio"}]}"#.to_owned(),
                ErrorCode::ParamInvalid,
            ),
            (
                r#"{"input":[{"type":"image_url","image_url":"u"}]}"#.to_owned(),
                ErrorCode::ParamInvalid,
            ),
            (format!(r#"{{"input":{many}}}"#), ErrorCode::ParamInvalid),
        ] {
            assert_eq!(read(&body).unwrap_err().code, code, "{body}");
        }
    }
}
