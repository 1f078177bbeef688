//! A request's body with the few changes that it needs.

use bytes::Bytes;
use serde_json::{Map, Value};
use silica_engine::WireRequest;
use silica_types::TokenCount;

use super::body::Pieces;
use super::edit::{Edits, Part};

/// Bodies up to this size are written anew in one piece, which costs less than several.
const ONE_PIECE: usize = 16 * 1024;

/// What is written into a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changes<'a> {
    /// The model's name at the engine, as JSON.
    pub(crate) model: &'a [u8],
    /// The most tokens, for requests that generate.
    pub(crate) max_tokens: Option<TokenCount>,
    /// Whether usage is asked for in every frame.
    pub(crate) continuous_usage: bool,
}

/// Writes the changes into a client's body.
pub(crate) fn forwarded_body(wire: &WireRequest, changes: &Changes<'_>) -> Pieces {
    let body = &wire.body;
    let most = changes.max_tokens.map(|most| most.get().to_string());
    let options = wire
        .streams
        .then(|| stream_options(value(wire, "stream_options"), changes.continuous_usage));
    let mut edits = Edits::default();
    edits.set(wire.member("model"), "model", changes.model);
    if let Some(most) = &most {
        // The newer name wins at engines that know both, as it does here.
        let name = match value(wire, "max_completion_tokens") {
            Some(old) if old != b"null" => "max_completion_tokens",
            _ => "max_tokens",
        };
        // An equal number stays as it was written.
        if value(wire, name) != Some(most.as_bytes()) {
            edits.set(wire.member(name), name, most.as_bytes());
        }
    }
    if let Some(options) = &options {
        edits.set(wire.member("stream_options"), "stream_options", options);
    }
    if body.len() <= ONE_PIECE {
        let mut whole = Vec::with_capacity(body.len() + 128);
        edits.write(body, &mut whole);
        return Bytes::from(whole).into();
    }
    let mut pieces = Pieces::default();
    for part in edits.parts(body) {
        pieces.push(match part {
            Part::Kept(range) => body.slice(range),
            Part::New(bytes) => Bytes::copy_from_slice(bytes),
        });
    }
    pieces
}

/// The text of a member's value.
fn value<'a>(wire: &'a WireRequest, name: &str) -> Option<&'a [u8]> {
    wire.body.get(wire.member(name)?)
}

/// The client's options, with usage asked for.
fn stream_options(old: Option<&[u8]>, continuous_usage: bool) -> Vec<u8> {
    if old.is_none() && !continuous_usage {
        return br#"{"include_usage":true}"#.to_vec();
    }
    let old = old.and_then(|old| serde_json::from_slice::<Map<String, Value>>(old).ok());
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
    use silica_engine::WireRoute;
    use silica_protocol::MemberSpans;
    use silica_types::ModelName;

    use super::*;

    fn changed(body: &str, most: Option<u32>, streams: bool) -> String {
        changed_on(WireRoute::ChatCompletions, body, most, streams)
    }

    fn changed_on(route: WireRoute, body: &str, most: Option<u32>, streams: bool) -> String {
        let changes = Changes {
            model: br#""up""#,
            max_tokens: most.map(TokenCount),
            continuous_usage: false,
        };
        let wire = WireRequest {
            body: Bytes::copy_from_slice(body.as_bytes()),
            members: MemberSpans::in_body(body).unwrap().into(),
            route,
            id: String::new(),
            model: ModelName::new("m").unwrap(),
            streams,
        };
        String::from_utf8(forwarded_body(&wire, &changes).concat()).unwrap()
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
}
