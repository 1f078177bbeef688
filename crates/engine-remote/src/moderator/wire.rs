//! What a moderation service answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use silica_engine::{Judgement, Judgements};

use crate::RemoteError;

/// The most categories of a result that are kept.
const MOST_CATEGORIES: usize = 256;

/// An answer in the form of OpenAI's.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    model: Option<String>,
    results: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    flagged: bool,
    /// Some services say `null` of what they did not look for.
    #[serde(default)]
    categories: BTreeMap<String, Option<bool>>,
    #[serde(default)]
    category_scores: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    category_applied_input_types: BTreeMap<String, Vec<String>>,
}

/// What counts of an answer.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    /// The categories that do; none at all means that the service's own word does, or with a threshold all.
    pub(super) categories: Vec<String>,
    /// The score from which on a category counts, if the service does not say so itself.
    pub(super) threshold: Option<f64>,
}

impl Answer {
    /// Reads the answer to a question about so many inputs.
    ///
    /// # Errors
    /// When it is not that.
    pub(super) fn read(text: &[u8], inputs: usize) -> Result<Self, RemoteError> {
        let answer: Self = serde_json::from_slice(text).map_err(|error| RemoteError::json(&error))?;
        if answer.results.len() != inputs {
            return Err(RemoteError::frame("another number of results than of inputs"));
        }
        if answer
            .results
            .iter()
            .any(|result| result.categories.len().max(result.category_scores.len()) > MOST_CATEGORIES)
        {
            return Err(RemoteError::frame("too many categories"));
        }
        Ok(answer)
    }

    pub(super) fn into_judgements(self) -> Judgements {
        Judgements {
            model: self.model.unwrap_or_default(),
            results: self.results.into_iter().map(Entry::into_judgement).collect(),
        }
    }

    /// Whether any of the inputs is refused.
    ///
    /// # Errors
    /// When none is, but the answer does not say all that counts: that is no word for the text.
    pub(super) fn refuses(&self, counted: &Counted) -> Result<bool, RemoteError> {
        let told: Vec<_> = self
            .results
            .iter()
            .map(|result| result.refuses(counted))
            .collect();
        let is_refused = told.contains(&Some(true));
        if !is_refused && told.contains(&None) {
            return Err(RemoteError::frame("a category that counts is missing"));
        }
        Ok(is_refused)
    }
}

impl Entry {
    /// Whether the input is refused; `None` when that is not said.
    fn refuses(&self, counted: &Counted) -> Option<bool> {
        match counted.threshold {
            Some(least) => any(&self.category_scores, &counted.categories, |score| {
                *score >= least
            }),
            None if counted.categories.is_empty() => Some(self.flagged),
            None => any(&self.categories, &counted.categories, |is_so| *is_so),
        }
    }

    fn into_judgement(self) -> Judgement {
        let is_so = |(name, is_so): (String, Option<bool>)| (name, is_so.unwrap_or(false));
        let score = |(name, score): (String, Option<f64>)| (name, score.unwrap_or(0.0));
        Judgement {
            flagged: self.flagged,
            categories: self.categories.into_iter().map(is_so).collect(),
            scores: self.category_scores.into_iter().map(score).collect(),
            applied: self.category_applied_input_types,
        }
    }
}

/// Whether it is so of any of the categories that are meant, which are all there are if none is named; `None` when
/// it is of none, but one that is named was not looked for, or none at all was.
fn any<T>(told: &BTreeMap<String, Option<T>>, meant: &[String], is_so: impl Fn(&T) -> bool) -> Option<bool> {
    let is_meant = |name: &String| meant.is_empty() || meant.contains(name);
    let is_known = |name: &String| told.get(name).is_some_and(Option::is_some);
    let is_whole = meant.iter().all(is_known) && told.values().any(Option::is_some);
    let any = told
        .iter()
        .any(|(name, value)| is_meant(name) && value.as_ref().is_some_and(&is_so));
    (any || is_whole).then_some(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_what_they_leave_out() {
        let text = br#"{"id":"modr-1","model":"m","results":[
            {"flagged":true,"categories":{"violence":true,"illicit":null},"category_scores":{"violence":0.9,"illicit":null},
             "category_applied_input_types":{"violence":["text"]}},{"flagged":false}]}"#;
        let judged = Answer::read(text, 2).unwrap().into_judgements();
        assert_eq!(judged.model, "m");
        let first = &judged.results[0];
        assert!(first.flagged && first.categories["violence"] && !first.categories["illicit"]);
        assert!((first.scores["violence"] - 0.9).abs() < 1e-9);
        assert_eq!(first.applied["violence"], ["text"]);
        assert_eq!(judged.results[1], Judgement::default());
    }

    #[test]
    fn what_is_no_judgement_of_every_input_is_refused() {
        for text in [
            r#"{"results":[{"flagged":true}]}"#,
            r#"{"results":[{"flagged":1},{"flagged":false}]}"#,
            r#"{"results":[{},{}]}"#,
            r#"{"error":{"message":"x"}}"#,
            "garbage",
        ] {
            assert!(Answer::read(text.as_bytes(), 2).is_err(), "{text}");
        }
    }

    #[test]
    fn what_counts_and_is_not_said_is_no_judgement() {
        let counted = |categories: &[&str], threshold| Counted {
            categories: categories.iter().map(ToString::to_string).collect(),
            threshold,
        };
        let refuses = |result: &str, counted: &Counted| {
            let text = format!(r#"{{"results":[{result}]}}"#);
            let answer = Answer::read(text.as_bytes(), 1).unwrap();
            answer.refuses(counted).ok()
        };
        let bare = r#"{"flagged":true}"#;
        let of_spam = r#"{"flagged":true,"categories":{"spam":false},"category_scores":{"spam":0.1}}"#;
        let unseen = r#"{"flagged":false,"categories":{"spam":null},"category_scores":{"spam":null}}"#;
        let both = r#"{"flagged":false,"categories":{"spam":false,"violence":true},"category_scores":{"spam":0.1,"violence":0.9}}"#;
        for (result, counted, expected) in [
            (bare, counted(&[], None), Some(true)),
            (bare, counted(&[], Some(0.5)), None),
            (bare, counted(&["spam"], None), None),
            (bare, counted(&["spam"], Some(0.5)), None),
            (of_spam, counted(&["spam"], None), Some(false)),
            (of_spam, counted(&["spam", "violence"], None), None),
            (of_spam, counted(&[], Some(0.5)), Some(false)),
            (of_spam, counted(&["violence"], Some(0.5)), None),
            (unseen, counted(&["spam"], None), None),
            (unseen, counted(&[], Some(0.5)), None),
            (both, counted(&["violence", "other"], None), Some(true)),
            (both, counted(&["violence", "other"], Some(0.5)), Some(true)),
        ] {
            assert_eq!(refuses(result, &counted), expected, "{result} {counted:?}");
        }
        let two = format!(r#"{{"results":[{bare},{both}]}}"#);
        let answer = Answer::read(two.as_bytes(), 2).unwrap();
        assert!(
            answer.refuses(&counted(&["violence"], None)).unwrap(),
            "a refusal goes first"
        );
    }
}
