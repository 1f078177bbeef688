//! Changes to a JSON object's text that leave the rest of it as it is.

use std::ops::Range;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a field that may be `null` and must then still be found: `Option` alone takes `null` for
/// absence.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Where a value that was read from `text` stands in it.
pub(super) fn span(text: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + value.get().len()
}

/// Changes to one object: values to replace, and members to add at its end.
#[derive(Debug, Default)]
pub(super) struct Edits<'a> {
    /// At most as many as an object has members that are changed: few.
    replaced: Vec<(Range<usize>, &'a [u8])>,
    added: Vec<u8>,
}

impl<'a> Edits<'a> {
    /// Puts another value in the place of the one that stands at `old`, or adds it under its name when
    /// it was absent.
    pub(super) fn set(&mut self, old: Option<Range<usize>>, name: &str, new: &'a [u8]) {
        match old {
            Some(old) => self.replaced.push((old, new)),
            None => self.add(name, new),
        }
    }

    /// Takes away the member whose value stands at `old`, if there is one. Another member must stay.
    pub(super) fn remove(&mut self, text: &[u8], old: Option<Range<usize>>) {
        if let Some(member) = old.and_then(|old| whole_member(text, old)) {
            self.replaced.push((member, b""));
        }
    }

    /// Adds a member.
    pub(super) fn add(&mut self, name: &str, value: &[u8]) {
        self.added.extend_from_slice(b",\"");
        self.added.extend_from_slice(name.as_bytes());
        self.added.extend_from_slice(b"\":");
        self.added.extend_from_slice(value);
    }

    /// The parts of the changed text, in order. The object must not be empty.
    pub(super) fn parts<'b>(&'b mut self, text: &'b [u8]) -> impl Iterator<Item = Part<'b>> {
        self.replaced.sort_unstable_by_key(|(at, _)| at.start);
        // A text that was read as an object ends with a brace.
        let end = text.trim_ascii_end().len().saturating_sub(1);
        let mut from = 0;
        let changed = self.replaced.iter().flat_map(move |(at, new)| {
            let kept = Part::Kept(from..at.start);
            from = at.end;
            [kept, Part::New(new)]
        });
        let last = self.replaced.iter().map(|(at, _)| at.end).max().unwrap_or(0);
        let rest = [Part::Kept(last..end), Part::New(&self.added), Part::New(b"}")];
        changed.chain(rest)
    }

    /// Appends the changed text.
    pub(super) fn write(mut self, text: &[u8], out: &mut Vec<u8>) {
        for part in self.parts(text) {
            let bytes = match part {
                Part::Kept(range) => text.get(range).unwrap_or_default(),
                Part::New(bytes) => bytes,
            };
            out.extend_from_slice(bytes);
        }
    }
}

/// Where a member stands whose value stands at `value`, with the comma that separates it from the one
/// before it, or else from the one after it. The text is an object that was read before, and the
/// member's name has no quotation mark in it.
fn whole_member(text: &[u8], value: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..value.start)?;
    let colon = before.trim_ascii_end().strip_suffix(b":")?;
    let name = colon.trim_ascii_end().strip_suffix(b"\"")?;
    let begin = name.iter().rposition(|byte| *byte == b'"')?;
    let before = text.get(..begin)?.trim_ascii_end();
    if let Some(others) = before.strip_suffix(b",") {
        return Some(others.len()..value.end);
    }
    let after = text.get(value.end..)?;
    let comma = after.iter().position(|byte| *byte == b',')?;
    Some(begin..value.end + comma + 1)
}

/// A part of a changed text.
pub(super) enum Part<'a> {
    /// From the old text.
    Kept(Range<usize>),
    /// New.
    New(&'a [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Names<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        a: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        b: Option<&'a RawValue>,
    }

    fn changed(text: &str) -> String {
        let names: Names<'_> = serde_json::from_str(text).unwrap();
        let mut edits = Edits::default();
        let at = |value| span(text.as_bytes(), value);
        edits.set(names.b.map(at), "b", b"2");
        edits.set(names.a.map(at), "a", b"1");
        let mut out = Vec::new();
        edits.write(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_replaced_where_they_stand_and_added_where_they_are_not() {
        for (text, expected) in [
            (
                r#"{"a":"x","c":[{"a":7}],"b":null}"#,
                r#"{"a":1,"c":[{"a":7}],"b":2}"#,
            ),
            (r#"{"b" : {"a":0} , "a":true } "#, r#"{"b" : 2 , "a":1 }"#),
            (r#"{"c":"\"a\":5"}"#, r#"{"c":"\"a\":5","b":2,"a":1}"#),
        ] {
            assert_eq!(changed(text), expected);
        }
    }
}
