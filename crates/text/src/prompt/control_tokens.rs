//! Keeps clients from writing special tokens.
//!
//! A rendered template is tokenized with its special tokens parsed, so a user message that spells
//! `<|im_end|>` would end its own turn and could go on as somebody else. Therefore the spellings of
//! such tokens in user messages, tool results and FIM texts are wrapped in two noncharacters before
//! rendering, and [`super::Encoder`] tokenizes what stands between them as plain text. System and
//! assistant messages and prefixes are the caller's own instructions and stay as they are. (The
//! transformers library has the same method in `sanitize_control_tokens`.)

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, Match, MatchKind};

use super::fim::FimTokens;
use crate::template::ChatTemplate;
use crate::vocabulary::Vocabulary;

/// Stands before a wrapped token. Noncharacters are "not for interchange" (Unicode 23.7), so no
/// text has them by right, and those in clients' texts are dropped.
pub(super) const WRAP_START: char = '\u{fdd0}';
/// Stands after a wrapped token.
pub(super) const WRAP_END: char = '\u{fdd1}';

/// The tokens that only a template may write.
#[derive(Debug)]
pub(crate) struct ControlTokens {
    spellings: Vec<(String, u32)>,
    /// Whether the tokenizer finds a spelling only where no letters or digits stand beside it.
    single_words: Vec<bool>,
    finder: Option<AhoCorasick>,
}

impl ControlTokens {
    /// All special tokens, and those other added tokens that the template writes or that mark gaps.
    pub(crate) fn new(vocabulary: &Vocabulary, template: Option<&ChatTemplate>) -> Self {
        let is_control = |text: &str, special: bool| {
            let is_written = || template.is_some_and(|template| template.contains(text));
            !text.trim().is_empty() && (special || FimTokens::is_spelling(text) || is_written())
        };
        let mut spellings: Vec<(String, u32)> = vocabulary
            .added_tokens()
            .filter(|(text, _, special)| is_control(text, *special))
            .map(|(text, id, _)| (text.to_owned(), id))
            .collect();
        spellings.sort_unstable();
        // Building fails only for patterns that take more memory than any tokenizer has tokens.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(spellings.iter().map(|(text, _)| text))
            .ok()
            .filter(|_| !spellings.is_empty());
        let single_words = spellings.iter().map(|(_, id)| vocabulary.is_single_word(*id));
        Self {
            single_words: single_words.collect(),
            spellings,
            finder,
        }
    }

    /// The tokens and their ids.
    pub(crate) fn spellings(&self) -> &[(String, u32)] {
        &self.spellings
    }

    /// Wraps every control token in a client's text.
    pub(crate) fn wrap<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = if text.contains([WRAP_START, WRAP_END]) {
            Cow::Owned(text.replace([WRAP_START, WRAP_END], ""))
        } else {
            Cow::Borrowed(text)
        };
        let Some(finder) = self
            .finder
            .as_ref()
            .filter(|finder| finder.is_match(text.as_ref()))
        else {
            return text;
        };
        let found: Vec<Match> = finder.find_iter(text.as_ref()).collect();
        let mut wrapped = String::with_capacity(text.len() + 16);
        let mut end = 0;
        for (_, found) in (0..)
            .zip(&found)
            .filter(|(index, _)| !self.is_inside_word(&text, &found, *index))
        {
            wrapped.push_str(&text[end..found.start()]);
            wrapped.push(WRAP_START);
            wrapped.push_str(&text[found.range()]);
            wrapped.push(WRAP_END);
            end = found.end();
        }
        wrapped.push_str(&text[end..]);
        Cow::Owned(wrapped)
    }

    /// Whether the tokenizer will not find it: a part of a word that only looks like a token. What is
    /// wrapped beside it is no part of the word any more.
    fn is_inside_word(&self, text: &str, found: &[Match], index: usize) -> bool {
        let is_single = |found: &Match| self.single_words.get(found.pattern().as_usize()) == Some(&true);
        let own = &found[index];
        let is_wrapped = |other: Option<&Match>, place: fn(&Match) -> usize, border: usize| {
            other.is_some_and(|other| place(other) == border && !is_single(other))
        };
        let before = index.checked_sub(1).and_then(|before| found.get(before));
        // Fewer than the tokenizer takes for letters of words (`\w`), and none that it does not: a token that is
        // wrapped without need does no harm.
        let is_word = |letter: Option<char>| {
            letter.is_some_and(|letter| letter.is_alphabetic() || letter.is_ascii_digit() || letter == '_')
        };
        let goes_on_before =
            is_word(text[..own.start()].chars().next_back()) && !is_wrapped(before, Match::end, own.start());
        let goes_on_behind = is_word(text[own.end()..].chars().next())
            && !is_wrapped(found.get(index + 1), Match::start, own.end());
        is_single(own) && (goes_on_before || goes_on_behind)
    }
}
