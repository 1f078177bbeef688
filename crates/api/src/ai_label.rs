//! The label of what machines have made.
//!
//! Law in some places wants generated content to say in its metadata what it is. The operator's text goes into
//! a header and, as the member `ai_label`, into the JSON of every generated answer, of a stream into its
//! first frame. Endpoints of other media put [`AiLabel::text`] where their files keep metadata.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};
use http_body_util::BodyExt as _;

/// The response header that carries the label; characters beyond ASCII are percent-encoded UTF-8.
pub(crate) const AI_LABEL_HEADER: HeaderName = HeaderName::from_static("x-silica-ai-label");
/// How a line with a frame's object begins; blanks may follow.
const FIELD: &[u8] = b"data:";

/// What the operator wants generated content to say of itself. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AiLabel {
    text: String,
    header: HeaderValue,
    /// `"ai_label":"..."`.
    member: Bytes,
}

/// The label cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {MOST_CHARACTERS} characters")]
pub struct InvalidAiLabel;

const MOST_CHARACTERS: usize = 200;

impl AiLabel {
    /// Makes a label of a text.
    ///
    /// # Errors
    /// When it is empty or longer than 200 characters.
    pub fn new(text: &str) -> Result<Self, InvalidAiLabel> {
        if text.is_empty() || text.chars().count() > MOST_CHARACTERS {
            return Err(InvalidAiLabel);
        }
        let member = format!("\"ai_label\":{}", serde_json::Value::from(text));
        Ok(Self {
            header: HeaderValue::try_from(percent_encoded(text)).map_err(|_| InvalidAiLabel)?,
            member: member.into(),
            text: text.to_owned(),
        })
    }

    /// The text, for what is no JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Labels an answer in one piece.
    pub(crate) async fn on_whole(&self, response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        // A body that is there cannot fail.
        let text = body.collect().await.map(http_body_util::Collected::to_bytes);
        let text = self.in_object(&text.unwrap_or_default());
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(AI_LABEL_HEADER, self.header.clone());
        Response::from_parts(parts, Body::from(text))
    }

    /// Labels the response of a stream, whose first frame is labelled by [`AiLabel::in_frame`].
    pub(crate) fn on_stream(&self, response: &mut Response) {
        response
            .headers_mut()
            .insert(AI_LABEL_HEADER, self.header.clone());
    }

    /// The object with the label as its last member.
    fn in_object(&self, text: &Bytes) -> Bytes {
        let Some(open) = text.trim_ascii_end().strip_suffix(b"}") else {
            return text.clone();
        };
        let mut labelled = BytesMut::with_capacity(text.len() + self.member.len() + 1);
        labelled.put_slice(open);
        if !open.trim_ascii_end().ends_with(b"{") {
            labelled.put_u8(b',');
        }
        labelled.put_slice(&self.member);
        labelled.put_u8(b'}');
        labelled.freeze()
    }

    /// The frames with the label as the first member of the first object among them; `None` when there is
    /// none.
    pub(crate) fn in_frame(&self, frames: &[u8]) -> Option<BytesMut> {
        let at = object(frames)?;
        let (before, after) = frames.split_at(at);
        let mut labelled = BytesMut::with_capacity(frames.len() + self.member.len() + 1);
        labelled.put_slice(before);
        labelled.put_slice(&self.member);
        if after.trim_ascii_start().first() != Some(&b'}') {
            labelled.put_u8(b',');
        }
        labelled.put_slice(after);
        Some(labelled)
    }
}

/// Where the first object's members begin, in bytes.
fn object(frames: &[u8]) -> Option<usize> {
    let mut begin = 0;
    for line in frames.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let value = line.strip_prefix(FIELD).map(<[u8]>::trim_ascii_start);
        if let Some(members) = value.and_then(|value| value.strip_prefix(b"{")) {
            return Some(begin + line.len() - members.len());
        }
        begin += line.len();
    }
    None
}

/// The text in UTF-8, with everything encoded that is not printable ASCII, and the percent sign.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_member_of_objects_and_of_the_first_frame() {
        let label = AiLabel::new("AI \"made\"").unwrap();
        let object = |text: &'static str| label.in_object(&Bytes::from_static(text.as_bytes()));
        assert_eq!(object("{\"a\":1}\n"), r#"{"a":1,"ai_label":"AI \"made\""}"#);
        assert_eq!(object("{ }"), r#"{ "ai_label":"AI \"made\""}"#);
        assert_eq!(object("[]"), "[]");
        let frame = label
            .in_frame(b": x\n\nevent: e\ndata: {\"a\":1}\n\ndata: {}\n\n")
            .unwrap();
        let expected = ": x\n\nevent: e\ndata: {\"ai_label\":\"AI \\\"made\\\"\",\"a\":1}\n\ndata: {}\n\n";
        assert_eq!(frame, expected.as_bytes());
        assert_eq!(label.in_frame(b"data: [DONE]\n\n"), None);
        let member = r#""ai_label":"AI \"made\"""#;
        for (frames, expected) in [
            (
                ": data: {x\n\ndata: {\"a\":1}\n\n",
                format!(": data: {{x\n\ndata: {{{member},\"a\":1}}\n\n"),
            ),
            (
                "event: e\r\ndata:{\"a\":1}\r\n\r\n",
                format!("event: e\r\ndata:{{{member},\"a\":1}}\r\n\r\n"),
            ),
            ("data:  { }\n\n", format!("data:  {{{member} }}\n\n")),
        ] {
            assert_eq!(
                label.in_frame(frames.as_bytes()).unwrap(),
                expected.as_bytes(),
                "{frames}"
            );
        }
    }

    #[test]
    fn a_header_has_plain_ascii_and_labels_have_a_length() {
        assert_eq!(
            AiLabel::new("AI\u{751f}\u{6210} 100%\n").unwrap().header,
            "AI%E7%94%9F%E6%88%90 100%25%0A"
        );
        assert_eq!(AiLabel::new(""), Err(InvalidAiLabel));
        assert_eq!(AiLabel::new(&"x".repeat(201)), Err(InvalidAiLabel));
    }
}
