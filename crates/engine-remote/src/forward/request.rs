//! A request's body with the few changes that it needs.

use bytes::Bytes;
use serde_json::{Map, Value};
use silica_engine::{WireRequest, WireRoute};
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

/// The names of a request's most tokens, each the one that some engine obeys rather than the others:
/// the newer one of chats, and that of llama-server.
const LIMITS: [&str; 3] = ["max_tokens", "max_completion_tokens", "n_predict"];

/// Writes the changes into a client's body.
pub(crate) fn forwarded_body(wire: &WireRequest, changes: &Changes<'_>) -> Pieces {
    let body = &wire.body;
    let most = changes.max_tokens.map(|most| most.get().to_string());
    let streams = wire.streams || wire.is_read;
    let options = streams.then(|| stream_options(value(wire, "stream_options"), changes.continuous_usage));
    let mut edits = Edits::default();
    edits.set(wire.member("model"), "model", changes.model);
    if wire.is_read {
        // What is read is read as a stream, and what the client has again is written here.
        edits.set(wire.member("stream"), "stream", b"true");
        edits.remove(body, wire.member("echo"));
    }
    if let Some(most) = &most {
        write_limits(&mut edits, wire, most.as_bytes());
    }
    match &options {
        Some(options) => edits.set(wire.member("stream_options"), "stream_options", options),
        None => edits.remove(body, wire.member("stream_options")),
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

/// Writes what was reserved for, tokens and choices, under every name that the body has for it, so that
/// no engine takes another for it.
fn write_limits<'a>(edits: &mut Edits<'a>, wire: &'a WireRequest, most: &'a [u8]) {
    for name in LIMITS {
        // An equal number stays as it was written.
        if value(wire, name).is_some_and(|given| given != most) {
            edits.set(wire.member(name), name, most);
        }
    }
    // Some engines know the newer name alone, for chats, and refuse both; of texts none has to know it.
    let newer = value(wire, "max_completion_tokens").filter(|_| wire.route == WireRoute::ChatCompletions);
    if value(wire, "max_tokens").or(newer).is_none() {
        edits.set(wire.member("max_tokens"), "max_tokens", most);
    }
    // llama-server's name for `n`, which wins there, and a word that some engines obey in chats too.
    for name in ["n_cmpl", "best_of"] {
        if value(wire, name).is_some() {
            edits.set(wire.member(name), name, value(wire, "n").unwrap_or(b"1"));
        }
    }
}

/// The text of a member's value, unless that is `null`.
fn value<'a>(wire: &'a WireRequest, name: &str) -> Option<&'a [u8]> {
    let text = wire.body.get(wire.member(name)?);
    text.filter(|text| *text != b"null")
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
    use silica_protocol::MemberSpans;
    use silica_types::{MediaParts, ModelName};

    use super::*;

    fn changed(body: &str, most: Option<u32>, streams: bool) -> String {
        changed_on(WireRoute::ChatCompletions, body, most, streams)
    }

    fn changed_on(route: WireRoute, body: &str, most: Option<u32>, streams: bool) -> String {
        changed_wire(&wire(route, body, streams), most)
    }

    fn changed_wire(wire: &WireRequest, most: Option<u32>) -> String {
        let changes = Changes {
            model: br#""up""#,
            max_tokens: most.map(TokenCount),
            continuous_usage: false,
        };
        String::from_utf8(forwarded_body(wire, &changes).concat()).unwrap()
    }

    fn wire(route: WireRoute, body: &str, streams: bool) -> WireRequest {
        WireRequest {
            body: Bytes::copy_from_slice(body.as_bytes()),
            members: MemberSpans::in_body(body).unwrap().into(),
            route,
            id: String::new(),
            model: ModelName::new("m").unwrap(),
            media: MediaParts::default(),
            streams,
            is_read: false,
        }
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
            (
                r#""max_tokens":null,"max_completion_tokens":7"#,
                r#""max_tokens":null,"max_completion_tokens":4"#,
            ),
        ] {
            let text = changed(&format!(r#"{{"model":"m",{given}}}"#), Some(4), false);
            assert_eq!(text, format!(r#"{{"model":"up",{expected}}}"#));
        }
        assert_eq!(changed(r#"{"model":"m"}"#, None, false), r#"{"model":"up"}"#);
    }

    #[test]
    fn every_name_that_an_engine_may_obey_says_the_same() {
        for (given, expected) in [
            (
                r#""max_tokens":9,"max_completion_tokens":2"#,
                r#""max_tokens":4,"max_completion_tokens":4"#,
            ),
            (
                r#""n_predict":-1,"max_tokens":4"#,
                r#""n_predict":4,"max_tokens":4"#,
            ),
            (r#""n_predict":100"#, r#""n_predict":4,"max_tokens":4"#),
            (r#""n_predict":"all""#, r#""n_predict":4,"max_tokens":4"#),
            (
                r#""n_predict":null,"n_cmpl":null"#,
                r#""n_predict":null,"n_cmpl":null,"max_tokens":4"#,
            ),
            (r#""n_cmpl":20,"max_tokens":4"#, r#""n_cmpl":1,"max_tokens":4"#),
            (r#""best_of":20,"max_tokens":4"#, r#""best_of":1,"max_tokens":4"#),
            (
                r#""n_cmpl":20,"n":2,"max_tokens":4"#,
                r#""n_cmpl":2,"n":2,"max_tokens":4"#,
            ),
        ] {
            for route in [WireRoute::ChatCompletions, WireRoute::Completions] {
                let text = changed_on(route, &format!(r#"{{"model":"m",{given}}}"#), Some(4), false);
                assert_eq!(text, format!(r#"{{"model":"up",{expected}}}"#), "{route:?}");
            }
        }
    }

    #[test]
    fn the_newer_name_alone_limits_no_text() {
        let body = r#"{"model":"m","max_completion_tokens":7}"#;
        assert_eq!(
            changed_on(WireRoute::Completions, body, Some(4), false),
            r#"{"model":"up","max_completion_tokens":4,"max_tokens":4}"#
        );
    }

    #[test]
    fn options_of_streams_go_only_with_streams() {
        for (given, expected) in [
            (
                r#"{"model":"m","stream_options":{"include_usage":true},"a":1}"#,
                r#"{"model":"up","a":1}"#,
            ),
            (r#"{"stream_options" : null , "model":"m"}"#, r#"{ "model":"up"}"#),
            (
                "{\"model\":\"m\" ,\n \"stre\\u0061m_options\" :\n{} }",
                r#"{"model":"up"  }"#,
            ),
            (
                r#"{"model":"m","a":"stream_options"}"#,
                r#"{"model":"up","a":"stream_options"}"#,
            ),
        ] {
            assert_eq!(changed(given, None, false), expected);
        }
        let text = changed(r#"{"stream_options":{},"model":"m"}"#, Some(2), false);
        assert_eq!(text, r#"{"model":"up","max_tokens":2}"#);
    }

    #[test]
    fn an_answer_that_is_read_comes_as_a_stream_without_an_echo() {
        for (given, expected) in [
            ("", ""),
            (r#","stream":false,"echo":true"#, r#","stream":true"#),
            (r#","stream":true"#, r#","stream":true"#),
        ] {
            let body = format!(r#"{{"model":"m"{given}}}"#);
            let wire = WireRequest {
                is_read: true,
                ..wire(WireRoute::Completions, &body, false)
            };
            let stream = if given.is_empty() { r#","stream":true"# } else { "" };
            let text = changed_wire(&wire, None);
            let options = r#","stream_options":{"include_usage":true}"#;
            assert_eq!(text, format!(r#"{{"model":"up"{expected}{stream}{options}}}"#));
        }
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
