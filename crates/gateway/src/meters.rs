//! The metrics of replicas. Handles are made once, when a deployment is loaded, so that a call
//! looks nothing up. Labels are the deployment's name and the replica's position in it.

use metrics::{Counter, Gauge, counter, gauge};

use crate::Health;

/// What is counted of one replica as its calls come and go.
pub(crate) struct CallMeters {
    running: Gauge,
    outcomes: [Counter; OUTCOMES.len()],
    ejections: Counter,
}

/// How a replica did with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CallOutcome {
    /// Not at all: the request was at fault, or its client left before the answer began.
    Unanswered,
    /// It answered, as far as the answer was read.
    Answered,
    /// It failed, before its answer or within it.
    Failed,
    /// Its queue was full.
    Busy,
    /// It limits its calls.
    Limited,
}

impl From<u8> for CallOutcome {
    /// The outcome with this number; numbers that none has are `Unanswered`.
    fn from(number: u8) -> Self {
        let all = [Self::Answered, Self::Failed, Self::Busy, Self::Limited];
        let known = all.into_iter().find(|outcome| *outcome as u8 == number);
        known.unwrap_or(Self::Unanswered)
    }
}

/// By the number of each outcome.
const OUTCOMES: [&str; 5] = ["unanswered", "answered", "failed", "busy", "limited"];

/// What shows how one replica is doing.
#[derive(Clone)]
pub(crate) struct ConditionMeters {
    healthy: Gauge,
    breaker_open: Gauge,
}

impl CallMeters {
    pub(crate) fn new(deployment: &str, position: usize) -> Self {
        let (deployment, replica) = (deployment.to_owned(), position.to_string());
        let outcome = |outcome: &'static str| counter!("silica_replica_calls_total", "deployment" => deployment.clone(), "replica" => replica.clone(), "outcome" => outcome);
        Self {
            outcomes: OUTCOMES.map(outcome),
            running: gauge!("silica_replica_running", "deployment" => deployment.clone(), "replica" => replica.clone()),
            ejections: counter!("silica_replica_ejections_total", "deployment" => deployment, "replica" => replica),
        }
    }

    /// A call took a seat.
    pub(crate) fn begun(&self) {
        self.running.increment(1.0);
    }

    /// A call gave its seat back.
    pub(crate) fn ended(&self, outcome: CallOutcome) {
        self.running.decrement(1.0);
        self.outcomes[outcome as usize].increment(1);
    }

    /// The replica was ejected.
    pub(crate) fn ejected(&self) {
        self.ejections.increment(1);
    }
}

impl ConditionMeters {
    pub(crate) fn new(deployment: &str, position: usize) -> Self {
        let (deployment, replica) = (deployment.to_owned(), position.to_string());
        Self {
            healthy: gauge!("silica_replica_healthy", "deployment" => deployment.clone(), "replica" => replica.clone()),
            breaker_open: gauge!("silica_replica_breaker_open", "deployment" => deployment, "replica" => replica),
        }
    }

    /// Shows what has changed. A replica that nobody asks counts as healthy.
    pub(crate) fn report(&self, health: Health, is_closed: bool) {
        let as_number = |holds: bool| if holds { 1.0 } else { 0.0 };
        self.healthy.set(as_number(health != Health::Unhealthy));
        self.breaker_open.set(as_number(!is_closed));
    }

    /// Shows that there is no such replica any more: no alarm of it must stand for ever.
    pub(crate) fn retire(&self) {
        self.healthy.set(f64::NAN);
        self.breaker_open.set(f64::NAN);
    }
}
