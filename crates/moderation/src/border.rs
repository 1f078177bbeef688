//! Characters in one spelling, and places where a text can be cut.

use std::iter;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

use crate::escape::{aligned, before_cut, step_back};

/// The most characters that are passed over in search of a border; texts in writing have a few marks
/// on a letter, not so many.
pub(crate) const MOST_JOINED: usize = 64;

/// The text in one spelling: compatibility forms (full width, ligatures) as the plain characters, letters
/// and their marks composed (NFKC), and without case.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // By way of the upper case: the sharp s becomes two letters, both lower sigmas become one. From the lower one:
    // a few letters, such as the large sharp s, have one there that is not their own.
    let without_case = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    without_case.nfkc().collect()
}

/// Whether nothing that stands before this character is joined with it.
fn begins_anew(character: char) -> bool {
    character.is_ascii()
        || (canonical_combining_class(character) == 0
            && is_nfkc_quick(iter::once(character)) == IsNormalized::Yes)
}

/// The last border of a text at or before a place of it, in bytes; the place itself where none is near. The
/// end of the text is none, since nobody knows what follows.
pub(crate) fn border(text: &str, at: usize) -> usize {
    let after = text.get(at..).and_then(|rest| rest.chars().next());
    if after.is_some_and(begins_anew) {
        return aligned(text, at);
    }
    let before = text.get(..at).unwrap_or(text).char_indices().rev();
    let found = before
        .take(MOST_JOINED)
        .find(|(_, character)| begins_anew(*character));
    aligned(text, found.map_or(at, |(place, _)| place))
}

/// The place so many characters before `at`, in bytes; the begin of a text that has fewer. Characters that JSON
/// spells out count as one each, so that what they say has as many.
pub(crate) fn back(text: &str, at: usize, characters: usize) -> usize {
    if characters == 0 {
        return at;
    }
    let start = before_cut(text, at);
    // Its backslash may be the second half of another escape.
    let steps = characters + usize::from(start < at);
    let mut places = iter::successors(Some(start), |place| step_back(text, *place));
    places.nth(steps).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_look_alike_are_one() {
        for (one, other) in [
            ("Word", "wORD"),
            ("\u{ff37}\u{ff4f}rd", "word"),
            ("e\u{301}", "\u{c9}"),
            ("stra\u{df}e", "STRASSE"),
            ("STRA\u{1e9e}E", "strasse"),
            ("\u{3f4}", "\u{3b8}"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{fb01}", "FI"),
            ("\u{ff76}\u{ff9e}", "\u{30ac}"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
    }

    #[test]
    fn a_border_stands_before_what_begins_anew_and_never_at_the_end() {
        assert_eq!(border("abc", 2), 2);
        assert_eq!(border("abc", 3), 2);
        assert_eq!(border("ae\u{301}", 2), 1);
        assert_eq!(border("ae\u{301}", 4), 1);
        assert_eq!(border("a\u{1100}\u{1161}x", 4), 1);
        assert_eq!(border("", 0), 0);
        let marks = "\u{301}".repeat(200);
        assert_eq!(border(&marks, 400), 400);
    }

    #[test]
    fn going_back_counts_characters() {
        assert_eq!(back("a\u{e9}b", 4, 2), 1);
        assert_eq!(back("ab", 2, 9), 0);
        assert_eq!(back("ab", 1, 0), 1);
        assert_eq!(
            back(r"abcdef\u0063\u0064", 18, 2),
            3,
            "one more, as the end may be within one"
        );
        assert_eq!(border(r"a\\b", 2), 1);
    }
}
