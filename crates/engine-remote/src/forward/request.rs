//! A request's body with the few changes that it needs.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use silica_engine::EngineError;
use silica_types::TokenCount;

use super::body::Pieces;
use super::edit::{Edits, Part, present};

/// Bodies up to this size are written anew in one piece, which costs less than several.
const ONE_PIECE: usize = 16 * 1024;

/// What is written into a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changes<'a> {
    /// The model's name at the engine, as JSON.
    pub(crate) model: &'a [u8],
    /// The most tokens, for requests that generate.
    pub(crate) max_tokens: Option<TokenCount>,
    /// Whether the answer is a stream of events.
    pub(crate) streams: bool,
    /// Whether usage is asked for in every frame.
    pub(crate) continuous_usage: bool,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_options: Option<&'a RawValue>,
}

/// Writes the changes into a client's body.
///
/// # Errors
/// When the body is no JSON object, or names one of the changed members twice.
pub(crate) fn forwarded_body(body: &Bytes, changes: &Changes<'_>) -> Result<Pieces, EngineError> {
    let members: Members<'_> = serde_json::from_slice(body)
        .map_err(|error| EngineError::InvalidRequest(format!("The request body cannot be read: {error}.")))?;
    let most = changes.max_tokens.map(|most| most.get().to_string());
    let options = changes
        .streams
        .then(|| stream_options(members.stream_options, changes.continuous_usage));
    let mut edits = Edits::default();
    edits.set(body, "model", members.model, changes.model);
    if let Some(most) = &most {
        // The newer name wins at engines that know both, as it does here.
        let (name, old) = match members.max_completion_tokens {
            Some(old) if old.get() != "null" => ("max_completion_tokens", Some(old)),
            _ => ("max_tokens", members.max_tokens),
        };
        // An equal number stays as it was written.
        if old.is_none_or(|old| old.get() != most) {
            edits.set(body, name, old, most.as_bytes());
        }
    }
    if let Some(options) = &options {
        edits.set(body, "stream_options", members.stream_options, options);
    }
    if body.len() <= ONE_PIECE {
        let mut whole = Vec::with_capacity(body.len() + 128);
        edits.write(body, &mut whole);
        return Ok(Bytes::from(whole).into());
    }
    let mut pieces = Pieces::default();
    for part in edits.parts(body) {
        pieces.push(match part {
            Part::Kept(range) => body.slice(range),
            Part::New(bytes) => Bytes::copy_from_slice(bytes),
        });
    }
    Ok(pieces)
}

/// The client's options, with usage asked for.
fn stream_options(old: Option<&RawValue>, continuous_usage: bool) -> Vec<u8> {
    if old.is_none() && !continuous_usage {
        return br#"{"include_usage":true}"#.to_vec();
    }
    let old = old.and_then(|old| serde_json::from_str::<Map<String, Value>>(old.get()).ok());
    let mut options = old.unwrap_or_default();
    options.insert("include_usage".to_owned(), true.into());
    if continuous_usage {
        // A word of vLLM and SGLang.
        options.insert("continuous_usage_stats".to_owned(), true.into());
    }
    Value::Object(options).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(body: &str, most: Option<u32>, streams: bool) -> String {
        let changes = Changes {
            model: br#""up""#,
            max_tokens: most.map(TokenCount),
            streams,
            continuous_usage: false,
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        String::from_utf8(forwarded_body(&body, &changes).unwrap().concat()).unwrap()
    }

    #[test]
    fn unknown_members_order_and_spelling_survive() {
        assert_eq!(
            changed(
                r#"{ "x":1.50, "model":"vendor/m", "messages":[{"model":"m"}], "y":"\u00e9" }"#,
                Some(9),
                false
            ),
            r#"{ "x":1.50, "model":"up", "messages":[{"model":"m"}], "y":"\u00e9" ,"max_tokens":9}"#
        );
    }

    #[test]
    fn the_most_tokens_are_written_when_absent_null_or_too_many() {
        for (given, expected) in [
            (r#""max_tokens":4"#, r#""max_tokens":4"#),
            (r#""max_tokens":null"#, r#""max_tokens":4"#),
            (r#""max_tokens":9000000"#, r#""max_tokens":4"#),
            (r#""max_completion_tokens":7"#, r#""max_completion_tokens":4"#),
            (
                r#""max_completion_tokens":null"#,
                r#""max_completion_tokens":null,"max_tokens":4"#,
            ),
        ] {
            let text = changed(&format!(r#"{{"model":"m",{given}}}"#), Some(4), false);
            assert_eq!(text, format!(r#"{{"model":"up",{expected}}}"#));
        }
        assert_eq!(changed(r#"{"model":"m"}"#, None, false), r#"{"model":"up"}"#);
    }

    #[test]
    fn usage_is_asked_for_whatever_the_client_says_of_streams() {
        for (given, expected) in [
            ("", r#","stream_options":{"include_usage":true}"#),
            (
                r#","stream_options":null"#,
                r#","stream_options":{"include_usage":true}"#,
            ),
            (
                r#","stream_options":{"include_usage":false,"z":1}"#,
                r#","stream_options":{"include_usage":true,"z":1}"#,
            ),
        ] {
            let text = changed(&format!(r#"{{"model":"m"{given}}}"#), None, true);
            assert_eq!(text, format!(r#"{{"model":"up"{expected}}}"#));
        }
    }

    #[test]
    fn a_large_body_is_changed_in_pieces() {
        let filler = "x".repeat(2 * ONE_PIECE);
        let text = changed(&format!(r#"{{"model":"m","a":"{filler}"}}"#), Some(3), false);
        assert_eq!(text, format!(r#"{{"model":"up","a":"{filler}","max_tokens":3}}"#));
    }

    #[test]
    fn a_member_that_is_named_twice_is_refused() {
        let body = Bytes::from_static(br#"{"model":"a","model":"b"}"#);
        let changes = Changes {
            model: b"1",
            max_tokens: None,
            streams: false,
            continuous_usage: false,
        };
        let refused = forwarded_body(&body, &changes).unwrap_err();
        assert!(matches!(refused, EngineError::InvalidRequest(_)));
    }
}
