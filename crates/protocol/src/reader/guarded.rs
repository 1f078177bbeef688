//! The members of a forwarded body that decide about money and about who answers.

use std::ops::Range;

use serde_json::value::RawValue;

use super::Object;
use crate::ApiError;

/// Their names. Some decide how the answer comes, and some are no words of this API, but engines know them and obey them rather than the
/// others: `n_predict` and `n_cmpl` are those of llama-server.
pub(super) const GUARDED: &[&str] = &[
    "model",
    "max_tokens",
    "max_completion_tokens",
    "n_predict",
    "n",
    "n_cmpl",
    "best_of",
    "stream",
    "stream_options",
    "echo",
];

/// Where the guarded members of a body stand: names, and the bytes of their values. No name is there
/// twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberSpans(Vec<(&'static str, Range<usize>)>);

impl MemberSpans {
    /// Finds the guarded members of a body of which nothing else is read.
    ///
    /// # Errors
    /// As [`RequestBody::from_json`](crate::RequestBody::from_json), for what is wrong with them.
    pub fn in_body(text: &str) -> Result<Self, ApiError> {
        Object::read_forwardable(text, &[]).map(|(_, spans)| spans)
    }

    /// Of members that were read from `text`.
    pub(super) fn of(text: &str, fields: &[(&'static str, &RawValue)]) -> Self {
        let guarded = fields.iter().filter(|(name, _)| GUARDED.contains(name));
        let spans = guarded.map(|(name, raw)| {
            let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
            (*name, start..start + raw.get().len())
        });
        Self(spans.collect())
    }
}

impl From<MemberSpans> for Vec<(&'static str, Range<usize>)> {
    fn from(spans: MemberSpans) -> Self {
        spans.0
    }
}

/// The guarded name that a server which does not distinguish cases takes `key` for. Those are many:
/// Go's own reader is one.
pub(super) fn look_alike(key: &str) -> Option<&'static str> {
    let is_alike = |name: &&str| {
        // A guarded name is ASCII and has as many characters as its look-alike.
        key.len() >= name.len() && key.chars().map(folded).eq(name.chars())
    };
    GUARDED.iter().copied().find(is_alike)
}

/// The lower-case letter for a character, also for those that Unicode folds to an ASCII letter: the
/// long s, the kelvin sign, and the two letters i of Turkish.
const fn folded(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        _ => character.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_only_are_alike() {
        for (key, name) in [
            ("Model", "model"),
            ("MAX_TOKENS", "max_tokens"),
            ("max_to\u{212a}ens", "max_tokens"),
            ("\u{17f}tream", "stream"),
            ("max_complet\u{131}on_tokens", "max_completion_tokens"),
            ("stream_opt\u{130}ons", "stream_options"),
            ("N", "n"),
            ("N_predict", "n_predict"),
        ] {
            assert_eq!(look_alike(key), Some(name), "{key}");
        }
        for key in ["", "models", "mode", "max-tokens", "m\u{f6}del", "\u{4e00}", "x"] {
            assert_eq!(look_alike(key), None, "{key}");
        }
    }
}
