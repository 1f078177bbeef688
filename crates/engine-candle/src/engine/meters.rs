//! The engine's metrics. The label is the operator's name for the engine.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::text::cache::blocks::BlockCounts;

/// Handles to one engine's metrics. Engines with the same name add up.
#[derive(Clone)]
pub(crate) struct Meters {
    steps: Counter,
    cancelled: Counter,
    sequences: Gauge,
    waiting: Gauge,
    waits: Histogram,
    hits: Counter,
    misses: Counter,
    paused: Counter,
    accepted: Counter,
    rejected: Counter,
    held: Gauge,
    idle: Gauge,
}

impl Meters {
    pub(crate) fn new(engine: &str) -> Self {
        let label = || engine.to_owned();
        describe_counter!(
            "silica_engine_cancelled_total",
            "Sequences, waiting or running, whose reader went away, also when a stop text ended them early"
        );
        describe_histogram!(
            "silica_engine_wait_seconds",
            Unit::Seconds,
            "How long a request waited for a place in an embedded engine, by engine"
        );
        describe_counter!(
            "silica_engine_prefix_tokens_total",
            "Prompt tokens that were found computed already (hit) or were not (miss), by engine"
        );
        describe_counter!(
            "silica_engine_paused_total",
            "Sequences that gave their cache blocks back to others and were computed again, by engine"
        );
        describe_counter!(
            "silica_engine_draft_tokens_total",
            "Tokens that were drafted and came (accepted) or did not (rejected), by engine"
        );
        describe_gauge!(
            "silica_engine_cache_blocks",
            "Blocks of 16 positions in the cache that sequences hold (held) or that are kept to be found (idle), by engine"
        );
        let prefix = |result: &'static str| counter!("silica_engine_prefix_tokens_total", "engine" => label(), "result" => result);
        let drafts = |result: &'static str| counter!("silica_engine_draft_tokens_total", "engine" => label(), "result" => result);
        let blocks =
            |state: &'static str| gauge!("silica_engine_cache_blocks", "engine" => label(), "state" => state);
        Self {
            hits: prefix("hit"),
            misses: prefix("miss"),
            paused: counter!("silica_engine_paused_total", "engine" => label()),
            accepted: drafts("accepted"),
            rejected: drafts("rejected"),
            held: blocks("held"),
            idle: blocks("idle"),
            waits: histogram!("silica_engine_wait_seconds", "engine" => label()),
            steps: counter!("silica_engine_steps_total", "engine" => label()),
            cancelled: counter!("silica_engine_cancelled_total", "engine" => label()),
            sequences: gauge!("silica_engine_sequences", "engine" => label()),
            waiting: gauge!("silica_engine_waiting", "engine" => label()),
        }
    }

    /// Counts one forward pass.
    pub(crate) fn step(&self) {
        self.steps.increment(1);
    }

    /// Counts a request whose receiver went away, also because a stop text ended it early.
    pub(crate) fn cancelled(&self) {
        self.cancelled.increment(1);
    }

    /// Counts a prompt's tokens by whether they were found computed.
    pub(crate) fn prefix(&self, hits: usize, misses: usize) {
        self.hits.increment(hits as u64);
        self.misses.increment(misses as u64);
    }

    /// Counts drafted tokens by whether they came.
    pub(crate) fn drafts(&self, accepted: usize, rejected: usize) {
        self.accepted.increment(accepted as u64);
        self.rejected.increment(rejected as u64);
    }

    /// Counts sequences that gave their blocks back.
    pub(crate) fn paused(&self, count: usize) {
        if count > 0 {
            self.paused.increment(count as u64);
        }
    }

    /// Notes how the blocks are used. Of engines with the same name the last one to compute counts.
    pub(crate) fn blocks(&self, counts: BlockCounts) {
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 blocks")]
        let gauge = |gauge: &Gauge, count: usize| gauge.set(count as f64);
        gauge(&self.held, counts.held);
        gauge(&self.idle, counts.idle);
    }

    /// Counts a waiting request until it is dropped.
    pub(crate) fn waiting(&self) -> Counted {
        Counted::new(&self.waiting)
    }

    /// Notes how long a request waited for its place.
    pub(crate) fn waited(&self, wait: Duration) {
        self.waits.record(wait.as_secs_f64());
    }

    /// Counts a running sequence until it is dropped.
    pub(crate) fn running(&self) -> Counted {
        Counted::new(&self.sequences)
    }
}

/// Holds a gauge one higher for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
