//! What an engine has against a request, fit for the client who made it.
//!
//! Such texts name the model behind ours and where it runs, which are the operator's business.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use silica_types::Secret;
use url::{Host, Url};

use crate::address::is_public;

/// The most of a text that clients see, in characters.
const LONGEST_REASON: usize = 400;

/// What stands for the model's name at the engine.
const MODEL: &str = "the model";
/// What stands for an address.
const ENGINE: &str = "the engine";
/// What stands for the key.
const KEY: &str = "***";

/// What must not be told of an engine.
#[derive(Debug)]
pub(crate) struct Secrecy {
    /// The model's name there.
    pub(crate) model: String,
    /// Its host, and its port if it has one.
    pub(crate) authority: String,
    /// The key that it is asked with.
    pub(crate) key: Option<Secret>,
}

/// A refusal in the forms that servers give it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Refusal {
    Nested { error: Message },
    Plain(Message),
    Short { error: String },
    Detail { detail: String },
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
}

/// The reason in a refusal's body; `None` when there is none in a form that is known.
fn reason(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice(body).ok()? {
        Refusal::Nested {
            error: Message { message },
        }
        | Refusal::Plain(Message { message }) => message,
        Refusal::Short { error: text } | Refusal::Detail { detail: text } => text,
    };
    (!text.trim().is_empty()).then_some(text)
}

impl Secrecy {
    /// What the client is told of a refusal with this body.
    pub(crate) fn reason(&self, body: &[u8]) -> String {
        let text = reason(body).unwrap_or_else(|| "the engine refused the request".to_owned());
        let text = match &self.key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), KEY),
            Some(_) | None => text,
        };
        let text = self.without_addresses(&text);
        let text = replace_word(&text, &self.model, MODEL);
        let is_plain = |character: &char| !character.is_control();
        text.chars().filter(is_plain).take(LONGEST_REASON).collect()
    }

    /// The text without addresses of the engine, or of what is not public: those that a client may
    /// have named itself, such as a picture's, stay.
    fn without_addresses(&self, text: &str) -> String {
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("://") {
            let scheme = |character: char| !character.is_ascii_alphanumeric() && character != '+';
            let begin = rest.get(..at).unwrap_or_default().rfind(scheme);
            // What ends a scheme may be of several bytes.
            let begin = begin.map_or(0, |found| found + rest.get(found..).map_or(0, first_length));
            let ends = |character: char| character.is_whitespace() || "\"'`<>()[]{},;".contains(character);
            // A host in brackets has some of these.
            let host = rest.get(at + 3..).unwrap_or_default();
            let skipped = if host.starts_with('[') {
                host.find(']').map_or(0, |end| end + 1)
            } else {
                0
            };
            let tail = host.get(skipped..).unwrap_or_default();
            let end = at + 3 + skipped + tail.find(ends).unwrap_or(tail.len());
            let url = rest.get(begin..end).unwrap_or_default();
            told.push_str(rest.get(..begin).unwrap_or_default());
            told.push_str(if self.is_secret(url) { ENGINE } else { url });
            rest = rest.get(end..).unwrap_or_default();
        }
        told.push_str(rest);
        let told = without_numbers(&told);
        let told = replace_word(&told, &self.authority, ENGINE);
        match self.authority.rsplit_once(':') {
            Some((host, _)) => replace_word(&told, host, ENGINE),
            None => told,
        }
    }

    /// Whether an address is the engine's, or inside somebody's network, or cannot be read.
    fn is_secret(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return true };
        let own = self
            .authority
            .rsplit_once(':')
            .map_or(self.authority.as_str(), |(host, _)| host);
        match url.host() {
            None => true,
            Some(Host::Domain(name)) => {
                name.eq_ignore_ascii_case(own) || !name.contains('.') || is_inside(name)
            }
            Some(Host::Ipv4(address)) => address.to_string() == own || !is_public(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => format!("[{address}]") == own || !is_public(IpAddr::V6(address)),
        }
    }
}

/// The text without addresses in numbers that are not public, with ports or without.
fn without_numbers(text: &str) -> String {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'[' | b']');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut told = String::with_capacity(text.len());
    let (mut at, bytes) = (0, text.as_bytes());
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = bytes.iter().skip(at).take_while(|byte| is_part(byte)).count();
        let run = rest.get(..length).unwrap_or_default();
        // A full stop or colon behind it ends a sentence.
        let number = run.trim_end_matches(['.', ':']);
        let after = rest.get(length..).unwrap_or_default().chars().next();
        let is_alone = !told.ends_with(is_word) && !after.is_some_and(is_word);
        if is_alone && is_private_number(number) {
            told.push_str(ENGINE);
            at += number.len();
        } else {
            let length = length.max(first_length(rest));
            told.push_str(rest.get(..length).unwrap_or_default());
            at += length;
        }
    }
    told
}

fn is_private_number(text: &str) -> bool {
    // `::` is an address, and stands in the names of many languages.
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let address = bare.parse().or_else(|_| with_port());
    address.is_ok_and(|address: IpAddr| !is_public(address))
}

/// Whether a name is one that only a network of somebody's own knows.
fn is_inside(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    ["local", "internal", "svc", "lan", "home", "corp", "localhost"]
        .iter()
        .any(|inside| last.eq_ignore_ascii_case(inside))
}

/// The text with `new` for `old` wherever that stands as a word of its own, not within a longer name,
/// in capitals or not.
fn replace_word(text: &str, old: &str, new: &str) -> String {
    if old.is_empty() {
        return text.to_owned();
    }
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == '-';
    let mut told = String::with_capacity(text.len());
    let mut from = 0;
    // Of the same length, and cut at the same places.
    let small = text.to_ascii_lowercase();
    for (at, _) in small.match_indices(&old.to_ascii_lowercase()) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let mut after = text.get(at + old.len()..).unwrap_or_default().chars();
        let next = after.next();
        // A full stop ends a sentence, or goes on with a version.
        let goes_on = match next {
            Some('.' | ':') => after.next().is_some_and(is_part),
            next => next.is_some_and(is_part),
        };
        if before.is_some_and(is_part) || goes_on {
            continue;
        }
        told.push_str(text.get(from..at).unwrap_or_default());
        told.push_str(new);
        from = at + old.len();
    }
    told.push_str(text.get(from..).unwrap_or_default());
    told
}

fn first_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let secrecy = Secrecy {
            model: "qwen-7b".to_owned(),
            authority: "llm.example.com:8000".to_owned(),
            key: Some(Secret::new("sk-geheim")),
        };
        let body = serde_json::json!({"error": {"message": text}});
        secrecy.reason(body.to_string().as_bytes())
    }

    #[test]
    fn refusals_are_read_in_each_form() {
        for body in [
            r#"{"error":{"message":"too long","code":400}}"#,
            r#"{"object":"error","message":"too long"}"#,
            r#"{"error":"too long"}"#,
            r#"{"detail":"too long"}"#,
        ] {
            assert_eq!(reason(body.as_bytes()).as_deref(), Some("too long"), "{body}");
        }
        for body in [
            "",
            "too long",
            r#"{"message":" "}"#,
            r#"{"detail":[{"input":"x"}]}"#,
        ] {
            assert_eq!(reason(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn the_models_name_is_not_told_and_no_other_word_changed() {
        for (text, expected) in [
            ("qwen-7b takes 4 tokens", "the model takes 4 tokens"),
            (
                "'/models/qwen-7b': no such `qwen-7b`.",
                "'/models/the model': no such `the model`.",
            ),
            ("see qwen-7b: no", "see the model: no"),
            ("qwen-7b-instruct and xqwen-7b", "qwen-7b-instruct and xqwen-7b"),
            ("qwen-7b.1 or qwen-7b:latest", "qwen-7b.1 or qwen-7b:latest"),
        ] {
            assert_eq!(told(text), expected);
        }
        let short = Secrecy {
            model: "a".to_owned(),
            authority: "x".to_owned(),
            key: None,
        };
        let body = br#"{"detail":"a value at path a is too large"}"#;
        assert_eq!(
            short.reason(body),
            "the model value at path the model is too large"
        );
    }

    #[test]
    fn addresses_of_the_engine_are_not_told() {
        for (text, expected) in [
            (
                "see https://llm.example.com:8000/v1/chat?x=1 now",
                "see the engine now",
            ),
            ("(http://LLM.example.com/docs)", "(the engine)"),
            ("POST http://10.0.0.7:8000/v1, failed", "POST the engine, failed"),
            ("http://vllm-3:8000/v1 http://w.svc/", "the engine the engine"),
            ("at grpc://[fd00::1]:50051/x", "at the engine"),
            ("\u{e9}http://localhost/\u{e9}", "\u{e9}the engine"),
            (
                "llm.example.com:8000 and llm.example.com refused",
                "the engine and the engine refused",
            ),
            (
                "worker 10.0.0.7:8000, 127.0.0.1 and [fd00::1]:30000: fe80::1. No.",
                "worker the engine, the engine and the engine: the engine. No.",
            ),
            ("LLM.Example.COM refused", "the engine refused"),
            (
                "8.8.8.8:53 in a::b of std::1 at 1.2.3 or 12:30:00",
                "8.8.8.8:53 in a::b of std::1 at 1.2.3 or 12:30:00",
            ),
            ("x://", "the engine"),
            (
                "cannot read https://pictures.example.org/cat.png: 404",
                "cannot read https://pictures.example.org/cat.png: 404",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn the_key_is_not_told() {
        assert_eq!(
            told("bad header: Bearer sk-geheim, sk-geheim"),
            "bad header: Bearer ***, ***"
        );
    }

    #[test]
    fn a_text_is_short_and_plain() {
        assert_eq!(told(&"x".repeat(1000)).len(), LONGEST_REASON);
        assert_eq!(told("a\u{7}b\nc"), "abc");
    }
}
