//! Finds several texts in a stream of bytes, remembering partial matches (Knuth-Morris-Pratt, one
//! automaton per text).

/// Searches for a few texts at once; time per byte is constant on average, whatever the texts are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    bytes: Vec<u8>,
    /// `borders[i]`: the length of the longest proper prefix of `bytes[..=i]` that is also its suffix.
    borders: Vec<usize>,
    /// How much of the pattern the bytes so far end with.
    matched: usize,
}

/// A text that has just been completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    /// Which text, in the order given to [`Matcher::new`].
    pub(crate) pattern: usize,
    /// Its length in bytes.
    pub(crate) length: usize,
}

impl Matcher {
    /// Empty texts are ignored.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            patterns: texts.into_iter().map(Pattern::new).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Takes the next byte; returns the longest text that ends with it.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Match> {
        let mut found: Option<Match> = None;
        for (index, pattern) in self.patterns.iter_mut().enumerate() {
            let length = pattern.bytes.len();
            if pattern.push(byte) && found.is_none_or(|best| best.length < length) {
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
        self.patterns
            .iter()
            .map(|pattern| pattern.matched)
            .max()
            .unwrap_or(0)
    }

    /// Forgets the text so far.
    pub(crate) fn reset(&mut self) {
        for pattern in &mut self.patterns {
            pattern.matched = 0;
        }
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
        Self {
            bytes,
            borders,
            matched: 0,
        }
    }

    /// Returns whether the pattern ends with this byte.
    fn push(&mut self, byte: u8) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        while self.matched == self.bytes.len() || (self.matched > 0 && self.bytes[self.matched] != byte) {
            self.matched = self.borders[self.matched - 1];
        }
        self.matched += usize::from(self.bytes[self.matched] == byte);
        self.matched == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(texts: &[&str], input: &str) -> Vec<(usize, Match)> {
        let mut matcher = Matcher::new(texts.iter().copied());
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
        let mut matcher = Matcher::new(["aab"]);
        for byte in *b"aaa" {
            assert_eq!(matcher.push(byte), None);
        }
        assert_eq!(matcher.held(), 2);
    }

    #[test]
    fn empty_texts_never_match() {
        assert_eq!(matches(&[""], "abc"), []);
    }
}
