//! `[engine]`: engines that run inside the process.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HumanDuration, InvalidValue, at_least_one};

/// Engines that run inside the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EngineConfig {
    /// Threads that compute. Unset: the number of cores minus one, at least one, so that a busy
    /// model never delays the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<u16>,
    /// The number format that embedded models compute in on the CPU.
    pub(crate) dtype: EngineDtype,
    /// What becomes of weights that are not quantised in their file as they are loaded, on the CPU:
    /// less memory and faster answers for a little exactness. Norms and biases are never quantised,
    /// and with `q4_0` the projection to the logits is `q8_0`. A deployment's replica can have its
    /// own `quantize`.
    pub(crate) quantize: EngineQuantize,
    /// The most sequences that one model computes at the same time.
    pub(crate) max_sequences: u32,
    /// Memory for the keys and values of all sequences of one model, in MiB, taken as it is used. A
    /// model is not loaded when that is more than the machine, or the container, has.
    /// What running sequences leave of it keeps earlier prompts, so that requests of one
    /// account that begin alike start sooner. Too little for one sequence of the model's context shortens the context,
    /// and the log says when that refuses a prompt, and how much would do.
    pub(crate) kv_cache_mb: u32,
    /// The longest sequence of each model, in tokens; of a model with a shorter context, that. A model for which
    /// `kv_cache_mb` is then too little is not loaded, with the reason. When absent, a model's context is its own,
    /// or what `kv_cache_mb` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context_length: Option<u32>,
    /// Memory for the `LoRA` adapters of one model that deployments add to it, in MiB. They are kept in f32, f16 or
    /// eight bits, as the model's weights are: a rank of 16 on all projections of a model with 8 billion parameters
    /// takes 160, 80 or 43, and while it is read as much as its file. One that does not fit beside those that are
    /// loaded is refused.
    pub(crate) adapters_mb: u32,
    /// Whether a sequence whose last tokens stand earlier in it drafts what followed them there, which
    /// one pass then checks: answers that repeat their prompt (summaries, edited programs) come sooner, and
    /// every answer is the same, token for token. `auto` drafts as much as pays on a CPU, less the more
    /// sequences are computed at once, and makes a step at most 1.15 times as long for sequences that draft nothing;
    /// `off` never does. Each sequence takes up to 512 KiB for it.
    pub(crate) speculation: EngineSpeculation,
    /// The most sequences that may wait for a place, at least 1; further requests are refused with 503.
    pub(crate) max_waiting: u32,
    /// The longest that a sequence may wait for a place; then its request is refused with 503.
    pub(crate) max_wait: HumanDuration,
}

/// The number format that embedded models compute in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineDtype {
    #[default]
    F32,
    Bf16,
}

/// A quantisation of weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineQuantize {
    #[default]
    None,
    #[serde(rename = "q8_0")]
    Q8,
    #[serde(rename = "q4_0")]
    Q4,
}

/// Whether sequences draft tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineSpeculation {
    #[default]
    Auto,
    Off,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: None,
            dtype: EngineDtype::F32,
            quantize: EngineQuantize::None,
            max_sequences: 16,
            kv_cache_mb: 1024,
            context_length: None,
            adapters_mb: 1024,
            speculation: EngineSpeculation::Auto,
            max_waiting: 256,
            max_wait: HumanDuration(Duration::from_mins(1)),
        }
    }
}

impl EngineConfig {
    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        if let Some(threads) = self.threads {
            at_least_one("engine.threads", u64::from(threads))?;
        }
        at_least_one("engine.max_sequences", u64::from(self.max_sequences))?;
        at_least_one("engine.max_waiting", u64::from(self.max_waiting))?;
        at_least_one("engine.kv_cache_mb", u64::from(self.kv_cache_mb))?;
        if let Some(tokens) = self.context_length {
            at_least_one("engine.context_length", u64::from(tokens))?;
        }
        at_least_one("engine.adapters_mb", u64::from(self.adapters_mb))?;
        self.max_wait.not_zero("engine.max_wait")
    }
}
