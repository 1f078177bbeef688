//! The engine's metrics. The label is the operator's name for the engine.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_histogram, gauge, histogram,
};

/// Handles to one engine's metrics. Engines with the same name add up.
#[derive(Clone)]
pub(super) struct Meters {
    steps: Counter,
    cancelled: Counter,
    sequences: Gauge,
    waiting: Gauge,
    waits: Histogram,
}

impl Meters {
    pub(super) fn new(engine: &str) -> Self {
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
        Self {
            waits: histogram!("silica_engine_wait_seconds", "engine" => label()),
            steps: counter!("silica_engine_steps_total", "engine" => label()),
            cancelled: counter!("silica_engine_cancelled_total", "engine" => label()),
            sequences: gauge!("silica_engine_sequences", "engine" => label()),
            waiting: gauge!("silica_engine_waiting", "engine" => label()),
        }
    }

    /// Counts one forward pass.
    pub(super) fn step(&self) {
        self.steps.increment(1);
    }

    /// Counts a request whose receiver went away, also because a stop text ended it early.
    pub(super) fn cancelled(&self) {
        self.cancelled.increment(1);
    }

    /// Counts a waiting request until it is dropped.
    pub(super) fn waiting(&self) -> Counted {
        Counted::new(&self.waiting)
    }

    /// Notes how long a request waited for its place.
    pub(super) fn waited(&self, wait: Duration) {
        self.waits.record(wait.as_secs_f64());
    }

    /// Counts a running sequence until it is dropped.
    pub(super) fn running(&self) -> Counted {
        Counted::new(&self.sequences)
    }
}

/// Holds a gauge one higher for as long as it lives.
pub(super) struct Counted(Gauge);

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
