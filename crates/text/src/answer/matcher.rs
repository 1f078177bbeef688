//! Finds several texts in a stream of bytes, remembering partial matches (Knuth-Morris-Pratt, one
//! automaton per text).

use std::sync::Arc;

/// What to search for, worked out once for all searches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns(Arc<[Pattern]>);

/// Searches for a few texts at once; time per byte is constant on average, whatever the texts are.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    patterns: Patterns,
    /// How much of each pattern the bytes so far end with.
    matched: Vec<usize>,
}

#[derive(Debug)]
struct Pattern {
    bytes: Vec<u8>,
    /// `borders[i]`: the length of the longest proper prefix of `bytes[..=i]` that is also its suffix.
    borders: Vec<usize>,
}

/// A text that has just been completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    /// Which text, in the order given to [`Patterns::new`].
    pub(crate) pattern: usize,
    /// Its length in bytes.
    pub(crate) length: usize,
}

impl Patterns {
    /// Empty texts are ignored.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().map(Pattern::new).collect())
    }
}

impl Matcher {
    /// Begins a search.
    pub(crate) fn new(patterns: Patterns) -> Self {
        let matched = vec![0; patterns.0.len()];
        Self { patterns, matched }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.matched.is_empty()
    }

    /// Takes the next byte; returns the longest text that ends with it.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Match> {
        let mut found: Option<Match> = None;
        let states = self.patterns.0.iter().zip(&mut self.matched);
        for (index, (pattern, matched)) in states.enumerate() {
            let length = pattern.bytes.len();
            if pattern.push(matched, byte) && found.is_none_or(|best| best.length < length) {
                found = Some(Match {
                    pattern: index,
                    length,
                });
            }
        }
        found
    }

    /// The length in bytes of the longest end of the text so far that may still become a match.
    /// It begins at a character border if texts and patterns are whole characters.
    pub(crate) fn held(&self) -> usize {
        self.matched.iter().copied().max().unwrap_or(0)
    }

    /// Forgets the text so far.
    pub(crate) fn reset(&mut self) {
        self.matched.fill(0);
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut borders = vec![0; bytes.len()];
        let mut matched = 0;
        for i in 1..bytes.len() {
            while matched > 0 && bytes[i] != bytes[matched] {
                matched = borders[matched - 1];
            }
            matched += usize::from(bytes[i] == bytes[matched]);
            borders[i] = matched;
        }
        Self { bytes, borders }
    }

    /// Moves `matched` on by a byte; returns whether the pattern ends with it.
    fn push(&self, matched: &mut usize, byte: u8) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        while *matched == self.bytes.len() || (*matched > 0 && self.bytes[*matched] != byte) {
            *matched = self.borders[*matched - 1];
        }
        *matched += usize::from(self.bytes[*matched] == byte);
        *matched == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(texts: &[&str], input: &str) -> Vec<(usize, Match)> {
        let mut matcher = Matcher::new(Patterns::new(texts.iter().copied()));
        input
            .bytes()
            .enumerate()
            .filter_map(|(i, byte)| Some((i + 1, matcher.push(byte)?)))
            .collect()
    }

    #[test]
    fn overlapping_matches_are_all_found() {
        let ends: Vec<usize> = matches(&["aa"], "aaa").into_iter().map(|(end, _)| end).collect();
        assert_eq!(ends, [2, 3]);
    }

    #[test]
    fn the_longest_of_two_texts_with_the_same_end_wins() {
        assert_eq!(
            matches(&["b", "ab"], "ab"),
            [(
                2,
                Match {
                    pattern: 1,
                    length: 2
                }
            )]
        );
    }

    #[test]
    fn held_is_the_longest_end_that_may_become_a_match() {
        let mut matcher = Matcher::new(Patterns::new(["aab"]));
        for byte in *b"aaa" {
            assert_eq!(matcher.push(byte), None);
        }
        assert_eq!(matcher.held(), 2);
    }

    #[test]
    fn searches_share_what_they_search_for() {
        let patterns = Patterns::new(["aab"]);
        let searches = [Matcher::new(patterns.clone()), Matcher::new(patterns.clone())];
        assert_eq!(Arc::strong_count(&patterns.0), 1 + searches.len());
    }

    #[test]
    fn empty_texts_never_match() {
        assert_eq!(matches(&[""], "abc"), []);
    }
}
