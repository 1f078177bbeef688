//! The metrics of models. Handles are made at the first call that needs them and kept, so that no later
//! call looks anything up. Labels are names of the catalogue, never a caller's text.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use silica_engine::Usage;
use silica_types::ModelName;

use crate::CallKind;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every choice finished.
    Complete,
    /// The client left.
    Cancelled,
    /// The engine refused, failed or was not there.
    Failed,
    /// The call was not admitted: a limit, the balance, a key's own rule.
    Refused,
}

impl Outcome {
    /// How many there are.
    const COUNT: usize = Self::Refused as usize + 1;

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// Those of all models that were called. As many as the catalogue has had names.
#[derive(Default)]
pub(crate) struct AllModelMeters(RwLock<HashMap<ModelName, Arc<ModelMeters>>>);

impl AllModelMeters {
    /// Those of one model.
    pub(crate) fn of(&self, model: &ModelName) -> Arc<ModelMeters> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = known.get(model) {
            return Arc::clone(meters);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let meters = known
            .entry(model.clone())
            .or_insert_with(|| Arc::new(ModelMeters::new(model.clone())));
        Arc::clone(meters)
    }
}

/// What is counted of one model's calls.
pub(crate) struct ModelMeters {
    model: ModelName,
    calls: [[OnceLock<Counter>; Outcome::COUNT]; CallKind::COUNT],
    prompt: OnceLock<Counter>,
    completion: OnceLock<Counter>,
    retries: OnceLock<Counter>,
    first_token: OnceLock<Histogram>,
    gaps: OnceLock<Histogram>,
}

impl ModelMeters {
    fn new(model: ModelName) -> Self {
        Self {
            model,
            calls: Default::default(),
            prompt: OnceLock::new(),
            completion: OnceLock::new(),
            retries: OnceLock::new(),
            first_token: OnceLock::new(),
            gaps: OnceLock::new(),
        }
    }

    /// Whose they are.
    pub(crate) const fn model(&self) -> &ModelName {
        &self.model
    }

    /// Counts a call that is over.
    pub(crate) fn ended(&self, kind: CallKind, outcome: Outcome, usage: Usage) {
        let calls = self.calls[kind as usize][outcome as usize].get_or_init(|| {
            counter!("silica_calls_total", "model" => self.label(), "route" => kind.as_str(), "outcome" => outcome.as_str())
        });
        calls.increment(1);
        let tokens = |kind: &'static str| move || counter!("silica_tokens_total", "model" => self.label(), "kind" => kind);
        let prompt = self.prompt.get_or_init(tokens("prompt"));
        prompt.increment(u64::from(usage.prompt.get()));
        let completion = self.completion.get_or_init(tokens("completion"));
        completion.increment(u64::from(usage.completion.get()));
    }

    /// Counts one more attempt of a call, after a replica that failed.
    pub(crate) fn retried(&self) {
        let retries = self
            .retries
            .get_or_init(|| counter!("silica_retries_total", "model" => self.label()));
        retries.increment(1);
    }

    /// Notes how long a call's first text took.
    pub(crate) fn first_token(&self, after: Duration) {
        let first = self
            .first_token
            .get_or_init(|| histogram!("silica_first_token_seconds", "model" => self.label()));
        first.record(after.as_secs_f64());
    }

    /// Notes how long a piece of text took after the one before it.
    pub(crate) fn gap(&self, gap: Duration) {
        let gaps = self
            .gaps
            .get_or_init(|| histogram!("silica_inter_chunk_seconds", "model" => self.label()));
        gaps.record(gap.as_secs_f64());
    }

    fn label(&self) -> String {
        self.model.as_str().to_owned()
    }
}
