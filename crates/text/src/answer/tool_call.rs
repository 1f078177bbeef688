//! Reads the JSON of one tool call, `{"name": .., "arguments": {..}}`, as far as it has come.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

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

/// Reads `{"name": "..", "arguments": {` at the beginning of the text.
pub(crate) fn read_header(text: &str) -> Header {
    let visible = &text[..text.floor_char_boundary(LONGEST_HEADER)];
    let mut cursor = Cursor { text: visible, at: 0 };
    match cursor.header() {
        Ok(name) if !name.is_empty() => Header::Found {
            name,
            arguments_at: cursor.at,
        },
        Err(Halt::End) if text.len() < LONGEST_HEADER => Header::Incomplete,
        Ok(_) | Err(Halt::End | Halt::Mismatch) => Header::Other,
    }
}

/// Reads a complete call whose keys stand in any order. The arguments are returned as the model
/// wrote them; arguments given as a string of JSON are unwrapped, missing ones are `{}`.
pub(crate) fn read_whole(text: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let call: Call<'_> = serde_json::from_str(text).ok()?;
    if call.name.is_empty() {
        return None;
    }
    let raw = call.arguments.map_or("{}", RawValue::get);
    let arguments = match raw.as_bytes().first()? {
        b'{' => raw.to_owned(),
        b'"' => unwrap_string(raw)?,
        _ => return None,
    };
    Some((call.name.into_owned(), arguments))
}

/// Finds where the call's object ends in the text after the arguments, as a byte offset. Further
/// keys belong to the object; a missing closing brace at the very end is forgiven. Zero when the
/// text does not close the object at all.
pub(crate) fn end_of_call(text: &str) -> usize {
    const BEGINNING: &str = "{\"arguments\":0";
    if text.trim().is_empty() {
        return text.len();
    }
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
    /// Reads up to the brace of the arguments, which stays unread; returns the name.
    fn header(&mut self) -> Result<String, Halt> {
        self.expect(b'{')?;
        self.key("name")?;
        let name = self.string()?;
        self.expect(b',')?;
        self.key("arguments")?;
        self.expect(b'{')?;
        self.at -= 1;
        Ok(name)
    }

    fn key(&mut self, name: &str) -> Result<(), Halt> {
        if self.string()? != name {
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
        assert_eq!(read_header(text), found);
        for end in 0..text.len() {
            assert_eq!(read_header(&text[..end]), Header::Incomplete, "{end}");
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
            assert_eq!(read_header(text), Header::Other, "{text}");
        }
        assert_eq!(
            read_header(&format!("{{\"name\": \"{}", "x".repeat(2000))),
            Header::Other
        );
    }

    #[test]
    fn whole_calls_keep_the_arguments_as_written() {
        let call = |name: &str, arguments: &str| Some((name.to_owned(), arguments.to_owned()));
        assert_eq!(
            read_whole(r#"{"arguments": {"a":  1}, "name": "f"}"#),
            call("f", r#"{"a":  1}"#)
        );
        assert_eq!(
            read_whole(r#"{"name": "f", "arguments": "{\"a\": 1}"}"#),
            call("f", r#"{"a": 1}"#)
        );
        assert_eq!(read_whole(r#" {"name": "f"} "#), call("f", "{}"));
        for text in [
            r#"{"name": "f", "arguments": 3}"#,
            r#"{"name": ""}"#,
            "{}",
            "x",
            r#"{"name": "f""#,
        ] {
            assert_eq!(read_whole(text), None, "{text}");
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
            assert_eq!(end_of_call(text), end, "{text}");
        }
    }
}
