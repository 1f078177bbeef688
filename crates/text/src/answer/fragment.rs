//! The unit that flows through the chain: text with the log-probabilities of its tokens.

use silica_engine::TextLogprob;

/// Text, and where in it each reported token begins.
///
/// A token whose bytes begin inside a character belongs to that character's first byte, so text
/// cut between characters never separates a token from its text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fragment {
    text: String,
    /// Byte offsets into `text`, ascending; empty when log-probabilities were not asked for.
    logprobs: Vec<(usize, TextLogprob)>,
}

impl Fragment {
    pub(crate) fn new(text: String, logprobs: Vec<(usize, TextLogprob)>) -> Self {
        Self { text, logprobs }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let shift = self.text.len();
        self.text.push_str(&other.text);
        self.logprobs.extend(
            other
                .logprobs
                .into_iter()
                .map(|(offset, logprob)| (offset + shift, logprob)),
        );
    }

    /// Cuts at a byte offset that is a character border; keeps the front and returns the rest.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let text = self.text.split_off(at);
        let first = self.logprobs.partition_point(|(offset, _)| *offset < at);
        let logprobs = self
            .logprobs
            .split_off(first)
            .into_iter()
            .map(|(offset, entry)| (offset - at, entry))
            .collect();
        Self { text, logprobs }
    }

    /// Cuts before the run of these characters at the end and returns that run.
    pub(crate) fn split_trailing(&mut self, characters: &[char]) -> Self {
        let at = self.text.trim_end_matches(characters).len();
        self.split_off(at)
    }

    /// Removes the run of these characters at the beginning.
    pub(crate) fn trim_leading(&mut self, characters: &[char]) {
        let at = self.text.len() - self.text.trim_start_matches(characters).len();
        if at > 0 {
            *self = self.split_off(at);
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn into_parts(self) -> (String, Vec<TextLogprob>) {
        (
            self.text,
            self.logprobs.into_iter().map(|(_, logprob)| logprob).collect(),
        )
    }
}

impl From<&str> for Fragment {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            logprobs: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use silica_engine::TopLogprob;

    use super::*;

    fn entry(text: &str) -> TextLogprob {
        let token = TopLogprob {
            text: text.to_owned(),
            bytes: text.as_bytes().to_vec(),
            logprob: -0.5,
        };
        TextLogprob {
            token,
            top: Vec::new(),
        }
    }

    #[test]
    fn tokens_stay_with_the_text_they_begin_in() {
        let mut front = Fragment::new("ab".to_owned(), vec![(0, entry("ab"))]);
        front.append(Fragment::new(
            "cd".to_owned(),
            vec![(0, entry("c")), (1, entry("d"))],
        ));
        let back = front.split_off(3);
        assert_eq!(
            front.into_parts(),
            ("abc".to_owned(), vec![entry("ab"), entry("c")])
        );
        assert_eq!(back.into_parts(), ("d".to_owned(), vec![entry("d")]));
    }

    #[test]
    fn trimming_drops_the_tokens_of_the_trimmed_text() {
        let mut fragment = Fragment::new("\n\na".to_owned(), vec![(0, entry("\n\n")), (2, entry("a"))]);
        fragment.trim_leading(&['\n']);
        assert_eq!(fragment.into_parts(), ("a".to_owned(), vec![entry("a")]));
    }
}
