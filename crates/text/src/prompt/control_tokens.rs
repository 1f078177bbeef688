//! Keeps clients from writing special tokens.
//!
//! A rendered template is tokenized with its special tokens parsed, so a user message that spells
//! `<|im_end|>` would end its own turn and could go on as somebody else. Therefore the spellings of
//! such tokens in user messages, tool results and FIM texts are wrapped in two noncharacters before
//! rendering, and [`super::Encoder`] tokenizes what stands between them as plain text. System and
//! assistant messages and prefixes are the caller's own instructions and stay as they are. (The
//! transformers library has the same method in `sanitize_control_tokens`.)

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

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
        Self { spellings, finder }
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
        let mut wrapped = String::with_capacity(text.len() + 16);
        let mut end = 0;
        for found in finder.find_iter(text.as_ref()) {
            wrapped.push_str(&text[end..found.start()]);
            wrapped.push(WRAP_START);
            wrapped.push_str(&text[found.range()]);
            wrapped.push(WRAP_END);
            end = found.end();
        }
        wrapped.push_str(&text[end..]);
        Cow::Owned(wrapped)
    }
}
