//! Long texts in pieces.

use crate::border::{MOST_JOINED, back, border};
use crate::escape::MOST_SPELLED;

/// Cuts a text into pieces of about this many characters (more where the text has escapes and the overlap is
/// long), each beginning so many characters before the
/// end of the one before it.
pub fn pieces(text: String, size: usize, overlap: usize) -> Vec<String> {
    // A character has a byte or more.
    if text.len() <= size {
        return vec![text];
    }
    // More than an overlap of escapes is long, or it would leave no way on.
    let size = if text.contains('\\') {
        size.max(2 * MOST_SPELLED * (overlap + 2) + MOST_JOINED)
    } else {
        size
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let Some((length, _)) = rest.char_indices().nth(size.max(1)) else {
            pieces.push(rest.to_owned());
            break;
        };
        let end = after(border(&text, start + length), start, start + length);
        pieces.push(text.get(start..end).unwrap_or_default().to_owned());
        start = after(border(&text, back(&text, end, overlap)), start, end);
    }
    pieces
}

/// `place`, if it lies behind `start`, so that every piece gets on; else `instead`.
const fn after(place: usize, start: usize, instead: usize) -> usize {
    if place > start { place } else { instead }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spellings;

    #[test]
    fn pieces_share_what_lies_on_their_borders() {
        let cut = |size, overlap| pieces("abcdefghij".to_owned(), size, overlap);
        assert_eq!(cut(10, 3), ["abcdefghij"]);
        assert_eq!(cut(6, 2), ["abcdef", "efghij"]);
        assert_eq!(cut(4, 0), ["abcd", "efgh", "ij"]);
        // An overlap that leaves no way on is none.
        assert_eq!(cut(4, 4), ["abcd", "efgh", "ij"]);
    }

    proptest! {
        #[test]
        fn every_short_part_of_what_escapes_say_is_in_a_piece(
            parts in prop::collection::vec(r"[ab]|\\\\|\\u006[1-9]|\\ud83d\\ude0[0-9]|\\n", 0..120),
            from in 0_usize..120, length in 1_usize..5,
        ) {
            let text = parts.concat();
            let said = |text: &str| spellings(text.to_owned()).last().unwrap_or_default();
            let part: String = said(&text).chars().skip(from).take(length).collect();
            let pieces = pieces(text, 10, 5);
            prop_assert!(part.is_empty() || pieces.iter().any(|piece| said(piece).contains(&part)));
        }

        #[test]
        fn every_short_part_of_a_text_is_in_a_piece(
            text in "[ab\u{e9}\u{4e00}]{0,60}", from in 0_usize..60, length in 1_usize..5, size in 10_usize..20,
        ) {
            let part: String = text.chars().skip(from).take(length).collect();
            let pieces = pieces(text, size, 5);
            prop_assert!(part.is_empty() || pieces.iter().any(|piece| piece.contains(&part)));
            prop_assert!(pieces.iter().all(|piece| piece.chars().count() <= size));
        }
    }
}
