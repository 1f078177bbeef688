//! Reads one tool call, such as `{"name": .., "arguments": {..}}`, as far as it has come.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::calls::CallSyntax;

/// What the beginning of a call's JSON says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// More text is needed.
    Incomplete,
    /// The usual form; the arguments can be passed on as they come.
    Found {
        /// The function's name.
        name: String,
        /// The byte offset of the `{` that opens the arguments.
        arguments_at: usize,
    },
    /// Another form, valid or not: the call must be read whole.
    Other,
}

/// A header is not looked for beyond this many bytes, so that a long string in its place is not
/// read again for each token.
const LONGEST_HEADER: usize = 1024;

/// Reads what stands before the arguments of a call, up to their `{`, at the beginning of the text.
pub(crate) fn read_header(syntax: CallSyntax, text: &str) -> Header {
    let visible = &text[..text.floor_char_boundary(LONGEST_HEADER)];
    let mut cursor = Cursor { text: visible, at: 0 };
    let read = match syntax {
        CallSyntax::Hermes => cursor.object(&["arguments"]),
        CallSyntax::InternLm | CallSyntax::Llama => cursor.object(&["parameters", "arguments"]),
        CallSyntax::Mistral => cursor.listed(),
        CallSyntax::MistralArguments => cursor.named("", "[ARGS]"),
        CallSyntax::DeepSeek => cursor.named("function<｜tool▁sep｜>", "\n```json\n"),
        CallSyntax::DeepSeekBare => cursor.named("", "<｜tool▁sep｜>"),
        CallSyntax::Glm => cursor.named("", "\n"),
    };
    match read {
        Ok(name) if !name.is_empty() => Header::Found {
            name,
            arguments_at: cursor.at,
        },
        Err(Halt::End) if text.len() < LONGEST_HEADER => Header::Incomplete,
        Ok(_) | Err(Halt::End | Halt::Mismatch) => Header::Other,
    }
}

/// Reads complete calls whose keys stand in any order: one, or the list of Mistral's syntax. The arguments
/// are returned as the model wrote them; arguments given as a string of JSON are unwrapped, missing ones
/// are `{}`.
pub(crate) fn read_whole(syntax: CallSyntax, text: &str) -> Option<Vec<(String, String)>> {
    match syntax {
        CallSyntax::Hermes | CallSyntax::InternLm | CallSyntax::Llama => {
            let call: Call<'_> = serde_json::from_str(text).ok()?;
            Some(vec![call.read()?])
        }
        CallSyntax::Mistral => {
            let calls: Vec<Call<'_>> = serde_json::from_str(text).ok()?;
            calls
                .into_iter()
                .map(Call::read)
                .collect::<Option<Vec<_>>>()
                .filter(|calls| !calls.is_empty())
        }
        // What their headers do not tell is no call.
        CallSyntax::MistralArguments | CallSyntax::DeepSeek | CallSyntax::DeepSeekBare | CallSyntax::Glm => {
            None
        }
    }
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

impl Call<'_> {
    fn read(self) -> Option<(String, String)> {
        if self.name.is_empty() {
            return None;
        }
        let raw = self.arguments.map_or("{}", RawValue::get);
        let arguments = match raw.as_bytes().first()? {
            b'{' => raw.to_owned(),
            b'"' => unwrap_string(raw)?,
            _ => return None,
        };
        Some((self.name.into_owned(), arguments))
    }
}

/// Finds where the call ends in the text between its arguments and its closing mark, as a byte offset.
/// Zero when the text does not end the call at all.
pub(crate) fn end_of_call(syntax: CallSyntax, text: &str) -> usize {
    if text.trim().is_empty() {
        return text.len();
    }
    match syntax {
        CallSyntax::DeepSeek => {
            let fence = text.trim_start().strip_prefix("```");
            fence.map_or(0, |rest| text.len() - rest.len())
        }
        CallSyntax::Hermes | CallSyntax::InternLm => end_of_object(text),
        CallSyntax::DeepSeekBare
        | CallSyntax::MistralArguments
        | CallSyntax::Mistral
        | CallSyntax::Llama
        | CallSyntax::Glm => 0,
    }
}

/// Further keys belong to the object; a missing closing brace at the very end is forgiven.
fn end_of_object(text: &str) -> usize {
    const BEGINNING: &str = "{\"arguments\":0";
    let object = format!("{BEGINNING}{text}");
    let mut values = serde_json::Deserializer::from_str(&object).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => values.byte_offset() - BEGINNING.len(),
        _ => 0,
    }
}

fn unwrap_string(raw: &str) -> Option<String> {
    let inner: String = serde_json::from_str(raw).ok()?;
    let is_object = inner.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(&inner).is_ok();
    is_object.then_some(inner)
}

/// Finds the end of a JSON object that comes in parts. Brackets and strings are followed; the rest
/// is not judged, since it has already been passed on.
#[derive(Debug, Default)]
pub(crate) struct ObjectScanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl ObjectScanner {
    /// A scanner of an object that is open already.
    pub(crate) fn inside() -> Self {
        Self {
            depth: 1,
            ..Self::default()
        }
    }

    /// Returns the byte offset just after the object's last brace, once it has come.
    pub(crate) fn push(&mut self, text: &str) -> Option<usize> {
        for (i, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(i + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

enum Halt {
    End,
    Mismatch,
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    /// Reads `{"name": "..", "arguments": {` up to the last brace, which stays unread; returns the name.
    fn object(&mut self, arguments: &[&str]) -> Result<String, Halt> {
        self.expect(b'{')?;
        self.key(&["name"])?;
        let name = self.string()?;
        self.expect(b',')?;
        self.key(arguments)?;
        self.expect(b'{')?;
        self.at -= 1;
        Ok(name)
    }

    /// Reads the same as a member of a list; the first member follows the bracket.
    fn listed(&mut self) -> Result<String, Halt> {
        match self.expect(b'[') {
            Ok(()) | Err(Halt::Mismatch) => self.object(&["arguments"]),
            Err(Halt::End) => Err(Halt::End),
        }
    }

    /// Reads a name that stands between two texts, up to the brace that follows.
    fn named(&mut self, before: &str, after: &str) -> Result<String, Halt> {
        let text = self.text.trim_start_matches(['\n', ' ']);
        let Some(rest) = text.strip_prefix(before) else {
            return Err(if before.starts_with(text) {
                Halt::End
            } else {
                Halt::Mismatch
            });
        };
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let end = rest.find(|letter| !is_letter(letter)).ok_or(Halt::End)?;
        let (name, rest) = rest.split_at(end);
        let Some(rest) = rest.strip_prefix(after) else {
            return Err(if after.starts_with(rest) {
                Halt::End
            } else {
                Halt::Mismatch
            });
        };
        self.at = self.text.len() - rest.len();
        self.expect(b'{')?;
        self.at -= 1;
        Ok(name.to_owned())
    }

    fn key(&mut self, names: &[&str]) -> Result<(), Halt> {
        if !names.contains(&self.string()?.as_str()) {
            return Err(Halt::Mismatch);
        }
        self.expect(b':')
    }

    fn expect(&mut self, byte: u8) -> Result<(), Halt> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        match rest.bytes().next() {
            None => Err(Halt::End),
            Some(next) if next == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(Halt::Mismatch),
        }
    }

    fn string(&mut self) -> Result<String, Halt> {
        self.expect(b'"')?;
        let start = self.at - 1;
        let mut escaped = false;
        for (i, byte) in self.text.bytes().enumerate().skip(self.at) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at = i + 1;
                    return serde_json::from_str(&self.text[start..=i]).map_err(|_| Halt::Mismatch);
                }
                _ => {}
            }
        }
        Err(Halt::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_found_as_soon_as_the_arguments_open() {
        let text = "\n{\"name\": \"get_weather\", \"arguments\": {";
        let found = Header::Found {
            name: "get_weather".to_owned(),
            arguments_at: text.len() - 1,
        };
        assert_eq!(read_header(CallSyntax::Hermes, text), found);
        for end in 0..text.len() {
            assert_eq!(
                read_header(CallSyntax::Hermes, &text[..end]),
                Header::Incomplete,
                "{end}"
            );
        }
    }

    #[test]
    fn other_forms_are_left_to_the_whole_reader() {
        for text in [
            r#"{"arguments": {}"#,
            r#"{"name": "", "arguments": {"#,
            r#"{"name": 1"#,
            "[",
            r#"{"name": "a"}"#,
        ] {
            assert_eq!(read_header(CallSyntax::Hermes, text), Header::Other, "{text}");
        }
        assert_eq!(
            read_header(CallSyntax::Hermes, &format!("{{\"name\": \"{}", "x".repeat(2000))),
            Header::Other
        );
    }

    #[test]
    fn whole_calls_keep_the_arguments_as_written() {
        let call = |name: &str, arguments: &str| Some(vec![(name.to_owned(), arguments.to_owned())]);
        assert_eq!(
            read_whole(CallSyntax::Hermes, r#"{"arguments": {"a":  1}, "name": "f"}"#),
            call("f", r#"{"a":  1}"#)
        );
        assert_eq!(
            read_whole(CallSyntax::Hermes, r#"{"name": "f", "arguments": "{\"a\": 1}"}"#),
            call("f", r#"{"a": 1}"#)
        );
        assert_eq!(
            read_whole(CallSyntax::Hermes, r#" {"name": "f"} "#),
            call("f", "{}")
        );
        for text in [
            r#"{"name": "f", "arguments": 3}"#,
            r#"{"name": ""}"#,
            "{}",
            "x",
            r#"{"name": "f""#,
        ] {
            assert_eq!(read_whole(CallSyntax::Hermes, text), None, "{text}");
        }
    }

    #[test]
    fn the_scanner_ignores_brackets_in_strings() {
        let mut scanner = ObjectScanner::default();
        assert_eq!(scanner.push(r#"{"a": "}\"]","#), None);
        assert_eq!(scanner.push(r#" "b": [{}]}}"#), Some(11));
    }

    #[test]
    fn the_end_of_a_call_may_carry_further_keys() {
        for (text, end) in [
            ("}\n", 1),
            (" \n", 2),
            ("", 0),
            (r#", "id": 3} so"#, 10),
            ("}}", 1),
            (" so}", 0),
        ] {
            assert_eq!(end_of_call(CallSyntax::Hermes, text), end, "{text}");
        }
    }
}
