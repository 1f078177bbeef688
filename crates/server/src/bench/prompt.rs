//! Prompts of a wanted length in tokens, without knowing the server's tokenizer.

/// Everyday words, so that tokenizers split them as they split real text.
const WORDS: [&str; 16] = [
    "river", "stone", "lamp", "garden", "window", "paper", "winter", "music", "bread", "train", "cloud",
    "letter", "market", "bridge", "silver", "morning",
];

/// How many tokens a prompt costs: a fixed part (template, system text) and a part per word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Calibration {
    fixed: f64,
    per_word: f64,
}

impl Calibration {
    /// Numbers of words whose prompts must be counted by the server.
    pub(super) const SAMPLES: [u32; 2] = [16, 64];

    /// Learns from the token counts of prompts with [`Self::SAMPLES`] words.
    pub(super) fn from_counts(counts: [u32; 2]) -> Self {
        let words = Self::SAMPLES.map(f64::from);
        let counts = counts.map(f64::from);
        let per_word = ((counts[1] - counts[0]) / (words[1] - words[0])).max(0.1);
        Self {
            fixed: (counts[0] - per_word * words[0]).max(0.0),
            per_word,
        }
    }

    /// The number of words, at least one, whose prompt comes nearest to `tokens`.
    pub(super) fn words_for(self, tokens: u32) -> u32 {
        let words = ((f64::from(tokens) - self.fixed) / self.per_word)
            .round()
            .clamp(1.0, 10_000_000.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the range above"
        )]
        let words = words as u32;
        words
    }
}

/// Writes a prompt of `words` words. Prompts with different `number`s differ from the first word
/// on, so that no prefix cache serves one from another.
pub(super) fn prompt(number: usize, words: u32) -> String {
    let mut text = String::new();
    // A mixed-radix spelling of the number leads, then the list goes round from there.
    let mut digits = number;
    for position in 0..words as usize {
        let word = if position < 4 {
            digits % WORDS.len()
        } else {
            (number + position) % WORDS.len()
        };
        digits /= WORDS.len();
        if position > 0 {
            text.push(' ');
        }
        text.push_str(WORDS.get(word).copied().unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_the_words_for_a_token_count() {
        let calibration = Calibration::from_counts([10 + 2 * 16, 10 + 2 * 64]);
        assert_eq!(calibration.words_for(210), 100);
        assert_eq!(calibration.words_for(0), 1);
    }

    #[test]
    fn prompts_have_their_length_and_differ_at_the_start() {
        assert_eq!(prompt(3, 40).split(' ').count(), 40);
        let starts: std::collections::HashSet<_> = (0..500).map(|number| prompt(number, 4)).collect();
        assert_eq!(starts.len(), 500);
    }
}
