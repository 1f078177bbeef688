//! A loaded deployment, its replicas and their seats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use silica_engine::{EngineError, Engines};
use silica_platform::{Deployment, ReplicaSpec, RoutingPolicy};
use tokio::time::Instant;

use crate::ReplicaState;
use crate::affinity::{Identity, Prefix};
use crate::breaker::Admitted;
use crate::condition::{Condition, Fitness};
use crate::meters::{CallMeters, CallOutcome, ConditionMeters};
use crate::positions::Positions;
use crate::registry::Slot;

/// One loaded engine with its limits.
pub(crate) struct Replica {
    engines: Engines,
    position: usize,
    pub(crate) identity: Identity,
    pub(crate) weight: u64,
    limit: u64,
    drains: bool,
    meters: CallMeters,
    /// Keeps the registry's entry alive, so that a later deployment finds this engine.
    slot: Arc<Slot>,
    /// The replicas of the deployment, this one among them, by position.
    siblings: Arc<[Arc<Slot>]>,
}

/// What a replica is made of besides its specification.
pub(crate) struct ReplicaSeed {
    pub(crate) engines: Engines,
    pub(crate) slot: Arc<Slot>,
}

/// The right to run one call on a replica; dropping it gives the seat back.
pub(crate) struct Seat {
    replica: Arc<Replica>,
    /// A [`CallOutcome`]: the latest that is known.
    outcome: AtomicU8,
    /// Whether the call tries a replica that failed before.
    is_trial: bool,
}

/// A deployment whose engines are loaded.
pub(crate) struct Loaded {
    pub(crate) deployment: Deployment,
    pub(crate) replicas: Vec<Arc<Replica>>,
    /// Counts the calls; used by the policies that take turns.
    pub(crate) turn: AtomicUsize,
}

/// The replicas that a call has tried.
#[derive(Debug, Default)]
pub(crate) struct Tried(Positions);

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// Every replica was tried, runs as many calls as it may, or takes none.
    Full,
    /// Those that are left limit their calls; the first of them takes calls again after this time.
    Cooling(Duration),
}

impl Replica {
    fn new(
        deployment: &Deployment,
        position: usize,
        spec: &ReplicaSpec,
        seed: ReplicaSeed,
        siblings: Arc<[Arc<Slot>]>,
    ) -> Self {
        Self {
            engines: seed.engines,
            position,
            identity: Identity::within(deployment, position, spec),
            weight: u64::from(spec.weight.max(1)),
            limit: spec.max_concurrency.map_or(u64::MAX, u64::from),
            drains: spec.drain,
            meters: CallMeters::new(&deployment.name, position),
            slot: seed.slot,
            siblings,
        }
    }

    /// The calls that run on it.
    pub(crate) fn running(&self) -> u64 {
        self.condition().running()
    }

    fn condition(&self) -> &Condition {
        self.slot.condition()
    }

    fn has_place(&self) -> bool {
        self.running() < self.limit
    }

    /// `None` when another call has taken the last place.
    fn try_seat(self: &Arc<Self>, is_trial: bool) -> Option<Seat> {
        if !self.condition().enter(self.limit) {
            if is_trial {
                self.condition().passed_over(Instant::now());
            }
            return None;
        }
        self.meters.begun();
        Some(Seat {
            replica: Arc::clone(self),
            outcome: AtomicU8::new(CallOutcome::Unanswered as u8),
            is_trial,
        })
    }

    /// Ejects the replica, unless half of the deployment's replicas are ejected then.
    fn eject(&self, now: Instant) {
        let ejected = |slot: &&Arc<Slot>| slot.condition().is_ejected(now);
        let others = self.siblings.iter().filter(ejected).count();
        if (others + 1) * 2 > self.siblings.len() {
            return;
        }
        let pause = self.condition().eject(now);
        self.meters.ejected();
        tracing::warn!(
            replica = self.position,
            pause_ms = pause.as_millis(),
            "replica {} fails most of its calls; they go to others for a while",
            self.position
        );
    }
}

impl Seat {
    /// The replica's position in its deployment, from 0.
    pub(crate) fn position(&self) -> usize {
        self.replica.position
    }

    /// What the replica can do.
    pub(crate) fn engines(&self) -> &Engines {
        &self.replica.engines
    }

    /// Notes that the replica began to answer.
    pub(crate) fn succeeded(&self) {
        self.note(CallOutcome::Answered);
        if self.replica.condition().began() {
            let position = self.replica.position;
            tracing::info!(replica = position, "replica {position} answers calls again");
        }
    }

    /// Notes an error of the replica, before its answer or within it. One that is the request's
    /// fault says nothing about the replica, and a full queue says that it works.
    pub(crate) fn failed(&self, error: &EngineError) {
        match error {
            EngineError::Unavailable | EngineError::TimedOut(_) | EngineError::Failed(_) => self.broke(),
            EngineError::QueueFull => self.note(CallOutcome::Busy),
            EngineError::RateLimited { retry_after } => {
                self.note(CallOutcome::Limited);
                self.replica.condition().limited(Instant::now(), *retry_after);
            }
            EngineError::ContextExceeded { .. }
            | EngineError::Unsupported(_)
            | EngineError::InvalidRequest(_)
            | EngineError::Unconstrainable { .. }
            | EngineError::InvalidParameter(_)
            | EngineError::AnswerTooLong { .. } => {}
        }
    }

    /// Notes that the replica failed, such as by an answer that was cut.
    pub(crate) fn broke(&self) {
        self.note(CallOutcome::Failed);
        let (replica, now) = (&self.replica, Instant::now());
        let failed = replica.condition().failed(now);
        if failed.opened {
            let position = replica.position;
            tracing::warn!(
                replica = position,
                "replica {position} fails again and again; calls go to others for a while"
            );
        }
        if failed.is_outlier {
            replica.eject(now);
        }
    }

    fn note(&self, outcome: CallOutcome) {
        self.outcome.store(outcome as u8, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let outcome = CallOutcome::from(*self.outcome.get_mut());
        let replica = &self.replica;
        if outcome == CallOutcome::Answered {
            replica.condition().answered(Instant::now());
        }
        let says_nothing = matches!(
            outcome,
            CallOutcome::Unanswered | CallOutcome::Busy | CallOutcome::Limited
        );
        if self.is_trial && says_nothing {
            replica.condition().passed_over(Instant::now());
        }
        replica.condition().leave();
        replica.meters.ended(outcome);
    }
}

impl Tried {
    /// Counts the replica of a seat as tried.
    pub(crate) fn add(&mut self, seat: &Seat) {
        self.0.insert(seat.replica.position);
    }
}

impl Loaded {
    /// Makes a deployment of its engines, of which there is one for each replica.
    pub(crate) fn new(deployment: Deployment, seeds: Vec<ReplicaSeed>) -> Self {
        let siblings: Arc<[_]> = seeds.iter().map(|seed| Arc::clone(&seed.slot)).collect();
        let specs = deployment.replicas.iter().enumerate();
        let replicas = specs.zip(seeds).map(|((position, spec), seed)| {
            Arc::new(Replica::new(
                &deployment,
                position,
                spec,
                seed,
                Arc::clone(&siblings),
            ))
        });
        Self {
            replicas: replicas.collect(),
            deployment,
            turn: AtomicUsize::new(0),
        }
    }

    /// Takes a seat by the deployment's policy on a replica that was not tried. One that is likely
    /// to fail is taken only when no other is left: a call is better tried than refused. One that
    /// asked to be left alone for a while is not taken.
    ///
    /// # Errors
    /// When there is none that has a place.
    pub(crate) fn seat(&self, tried: &Tried, prefix: Option<Prefix>) -> Result<Seat, NoSeat> {
        let now = Instant::now();
        let mut passed = tried.0.clone();
        loop {
            let (candidates, are_ready) = self.candidates(&passed, now)?;
            let position = self.choose(&candidates, prefix);
            passed.insert(position);
            let Some(replica) = self.replicas.get(position) else {
                return Err(NoSeat::Full);
            };
            // Another call may have taken its last place in between, or the trial of its breaker.
            let admitted = if are_ready {
                replica.condition().admits(now)
            } else {
                Some(Admitted::Freely)
            };
            let Some(admitted) = admitted else { continue };
            if let Some(seat) = replica.try_seat(admitted == Admitted::AsTrial) {
                return Ok(seat);
            }
        }
    }

    /// The replicas that may be taken, never none, and whether nothing speaks against them.
    fn candidates(&self, passed: &Positions, now: Instant) -> Result<(Positions, bool), NoSeat> {
        let (mut ready, mut suspect) = (Positions::default(), Positions::default());
        let (mut is_full, mut cooling) = (false, None::<Duration>);
        for (position, replica) in self.replicas.iter().enumerate() {
            if replica.drains || passed.contains(position) {
                continue;
            }
            match replica.condition().fitness(now) {
                Fitness::Cooling(left) => cooling = Some(cooling.map_or(left, |least| least.min(left))),
                _ if !replica.has_place() => is_full = true,
                Fitness::Ready => ready.insert(position),
                Fitness::Suspect => suspect.insert(position),
            }
        }
        match cooling {
            _ if !ready.is_empty() => Ok((ready, true)),
            _ if !suspect.is_empty() => Ok((suspect, false)),
            Some(left) if !is_full => Err(NoSeat::Cooling(left)),
            Some(_) | None => Err(NoSeat::Full),
        }
    }

    /// What any replica can do, for questions that take no seat; all serve the same models.
    pub(crate) fn any_engines(&self) -> Option<&Engines> {
        self.replicas.first().map(|replica| &replica.engines)
    }

    /// Whether the policy looks at the beginning of a conversation.
    pub(crate) fn wants_prefix(&self) -> bool {
        self.deployment.policy == RoutingPolicy::PrefixAffinity && self.replicas.len() > 1
    }

    /// Whether these engines are what the deployment asks for now.
    pub(crate) fn serves(&self, deployment: &Deployment) -> bool {
        let loaded = &self.deployment;
        loaded.models == deployment.models
            && loaded.policy == deployment.policy
            && loaded.replicas == deployment.replicas
            && loaded.fallbacks == deployment.fallbacks
    }

    /// How the replicas are doing.
    pub(crate) fn states(&self) -> Vec<ReplicaState> {
        let now = Instant::now();
        let state = |replica: &Arc<Replica>| replica.condition().state(now, replica.drains);
        self.replicas.iter().map(state).collect()
    }

    /// Shows the condition of the replicas in the metrics.
    pub(crate) fn show(&self) {
        for replica in &self.replicas {
            let meters = ConditionMeters::new(&self.deployment.name, replica.position);
            replica.condition().show(Some(meters));
        }
    }

    /// Shows it no more.
    pub(crate) fn hide(&self) {
        for replica in &self.replicas {
            replica.condition().show(None);
        }
    }
}

#[cfg(test)]
mod tests;
