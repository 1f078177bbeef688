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

impl Answer {
    /// Reads the answer to a question about so many inputs.
    ///
    /// # Errors
    /// When it is not that.
    pub(super) fn read(text: &[u8], inputs: usize) -> Result<Judgements, RemoteError> {
        let answer: Self = serde_json::from_slice(text).map_err(|error| RemoteError::json(&error))?;
        if answer.results.len() != inputs {
            return Err(RemoteError::frame("another number of results than of inputs"));
        }
        if answer
            .results
            .iter()
            .any(|result| result.categories.len() > MOST_CATEGORIES)
        {
            return Err(RemoteError::frame("too many categories"));
        }
        Ok(Judgements {
            model: answer.model.unwrap_or_default(),
            results: answer.results.into_iter().map(Entry::into_judgement).collect(),
        })
    }
}

impl Entry {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_what_they_leave_out() {
        let text = br#"{"id":"modr-1","model":"m","results":[
            {"flagged":true,"categories":{"violence":true,"illicit":null},"category_scores":{"violence":0.9,"illicit":null},
             "category_applied_input_types":{"violence":["text"]}},{"flagged":false}]}"#;
        let judged = Answer::read(text, 2).unwrap();
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
}
