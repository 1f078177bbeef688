//! Characters that JSON spells out: `\n`, `\/`, `\u0041`.
//!
//! The arguments of calls and answers that are JSON say what they say to whoever reads them as JSON. A word in
//! them may be spelled in any of these ways, so they are judged as they are read, too. Escapes within escapes
//! (JSON in a text in JSON) are not unfolded.

use std::iter;

/// The most characters that one is spelled with: two UTF-16 units, six characters each.
pub(crate) const MOST_SPELLED: usize = 12;
const UNIT: usize = 6;

/// A text, and if it has escapes also what it says without them.
pub fn spellings(text: String) -> impl Iterator<Item = String> {
    let unescaped = unescaped(&text);
    iter::once(text).chain(unescaped)
}

/// The text without its escapes; `None` when it has none. What is no escape stays.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let (character, length) = first(escape).unwrap_or(('\\', 1));
        any |= length > 1;
        plain.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    plain.push_str(rest);
    any.then_some(plain)
}

/// The escape at the begin of a text: what it says, and its bytes.
fn first(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes().get(1)? {
        quoted @ (b'"' | b'\\' | b'/') => char::from(*quoted),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text),
        _ => return None,
    };
    Some((character, 2))
}

fn unicode(text: &str) -> Option<(char, usize)> {
    let high = unit(text)?;
    let low = text.get(UNIT..).and_then(unit);
    let units = iter::once(high).chain(low);
    match char::decode_utf16(units).next()? {
        Ok(character) => Some((character, UNIT * character.len_utf16())),
        Err(_) => Some((char::REPLACEMENT_CHARACTER, UNIT)),
    }
}

/// The UTF-16 unit at the begin of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..UNIT)?.strip_prefix("\\u")?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_number.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// The place one character before `at`, in bytes, where an escape is one. `None` at the begin.
///
/// A backslash that was spelled out itself may be taken for the begin of an escape: that leads further back, never
/// less far.
pub(crate) fn step_back(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let last = before.chars().next_back()?;
    let ends = |length: usize| {
        let start = at.checked_sub(length)?;
        unit(before.get(start..)?).map(|unit| (start, unit))
    };
    if let Some((start, low)) = ends(UNIT) {
        let is_low = (0xdc00..0xe000).contains(&low);
        let is_pair = is_low && ends(2 * UNIT).is_some_and(|(_, high)| (0xd800..0xdc00).contains(&high));
        return Some(if is_pair { start - UNIT } else { start });
    }
    let start = at - last.len_utf8();
    let is_escaped = last.is_ascii() && before.get(..start)?.ends_with('\\');
    Some(if is_escaped { start - 1 } else { start })
}

/// The place before an escape that `at` may lie within, in bytes; `at` itself where none is near.
pub(crate) fn before_cut(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    let near = before.char_indices().rev().take(MOST_SPELLED);
    let first = near.filter(|(_, character)| *character == '\\').last();
    first.map_or(at, |(place, _)| place)
}

/// A place that parts no backslash from what it spells.
pub(crate) fn aligned(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    let run = before.bytes().rev().take_while(|byte| *byte == b'\\').count();
    at - run % 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_say_what_json_says() {
        for (text, plain) in [
            (r"\u0073ecret", "secret"),
            (r#"a\/b \"c\" \\"#, "a/b \"c\" \\"),
            (r"\n\t\b\f\r", "\n\t\u{8}\u{c}\r"),
            (r"\ud83d\ude00\u00E9", "\u{1f600}\u{e9}"),
            (r"\ud83d\u0041\ude00", "\u{fffd}A\u{fffd}"),
            (r"\\u0041", r"\u0041"),
            (r"\\\u0041\u00", r"\A\u00"),
        ] {
            assert_eq!(unescaped(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["", "secret", r"C:\Windows", r"\", r"\u+041"] {
            assert_eq!(unescaped(text), None, "{text}");
        }
        let both: Vec<String> = spellings(r"\u0041".to_owned()).collect();
        assert_eq!(both, [r"\u0041", "A"]);
    }

    #[test]
    fn a_step_back_passes_over_a_whole_escape() {
        for (text, start) in [
            ("ab", 1),
            ("a\u{e9}", 1),
            (r"a\n", 1),
            (r"a\u0041", 1),
            (r"a\ud83d\ude00", 1),
            (r"a\u0041\ude00", 7),
            (r"a\u00g1", 6),
        ] {
            assert_eq!(step_back(text, text.len()), Some(start), "{text}");
        }
        assert_eq!(step_back("a", 0), None);
    }

    #[test]
    fn a_cut_is_moved_before_what_it_would_part() {
        assert_eq!(before_cut(r"abc\ud83d\ude", 12), 3);
        assert_eq!(before_cut("abc", 2), 2);
        assert_eq!((aligned(r"a\\b", 2), aligned(r"a\\b", 3)), (1, 3));
    }
}
