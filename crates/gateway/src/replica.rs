//! A loaded deployment and the choice among its replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use silica_engine::{EngineError, Engines};
use silica_platform::{Deployment, ReplicaSpec, RoutingPolicy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::registry::Slot;

/// One loaded engine with its limits.
pub(crate) struct Replica {
    engines: Engines,
    weight: u64,
    limit: usize,
    seats: Arc<Semaphore>,
    breaker: Breaker,
    /// Keeps the registry's entry alive, so that a later deployment finds this engine.
    _slot: Arc<Slot>,
}

/// The right to run one call on a replica; dropping it gives the seat back.
pub(crate) struct Seat {
    replica: Arc<Replica>,
    position: usize,
    _permit: OwnedSemaphorePermit,
}

/// A deployment whose engines are loaded.
pub(crate) struct Loaded {
    pub(crate) deployment: Deployment,
    pub(crate) replicas: Vec<Arc<Replica>>,
    /// Where the next round begins; used by the policies that take turns.
    turn: AtomicUsize,
}

/// The replicas that a call has tried, by position.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<usize>);

impl Replica {
    pub(crate) fn new(spec: &ReplicaSpec, engines: Engines, slot: Arc<Slot>) -> Self {
        let limit = spec.max_concurrency.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            engines,
            weight: u64::from(spec.weight.max(1)),
            limit,
            seats: Arc::new(Semaphore::new(limit)),
            breaker: Breaker::default(),
            _slot: slot,
        }
    }

    fn running(&self) -> u64 {
        u64::try_from(self.limit - self.seats.available_permits()).unwrap_or(u64::MAX)
    }

    fn try_seat(self: &Arc<Self>, position: usize) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat {
            replica: Arc::clone(self),
            position,
            _permit: permit,
        })
    }
}

impl Seat {
    /// What the replica can do.
    pub(crate) fn engines(&self) -> &Engines {
        &self.replica.engines
    }

    /// Notes that the replica began to answer.
    pub(crate) fn succeeded(&self) {
        self.replica.breaker.succeeded();
    }

    /// Notes an error of the replica. One that is the request's fault says nothing about it, and a
    /// full queue says that it works.
    pub(crate) fn failed(&self, error: &EngineError) {
        let broken = matches!(error, EngineError::Unavailable | EngineError::Failed(_));
        if broken && self.replica.breaker.failed(Instant::now()) {
            tracing::warn!(
                replica = self.position,
                "a replica fails again and again; calls go to others for a while"
            );
        }
    }
}

impl Tried {
    /// Counts the replica of a seat as tried.
    pub(crate) fn add(&mut self, seat: &Seat) {
        self.0.push(seat.position);
    }
}

impl Loaded {
    pub(crate) const fn new(deployment: Deployment, replicas: Vec<Arc<Replica>>) -> Self {
        Self {
            deployment,
            replicas,
            turn: AtomicUsize::new(0),
        }
    }

    /// Takes a seat by the deployment's policy on a replica that was not tried; `None` when there is
    /// none that has a place. A replica whose breaker is open is taken only when no other is left: a
    /// call is better tried than refused.
    pub(crate) fn seat(&self, tried: &Tried) -> Option<Seat> {
        let order: Vec<usize> = self
            .order()
            .into_iter()
            .filter(|position| !tried.0.contains(position))
            .collect();
        let now = Instant::now();
        let mut open = Vec::new();
        for position in order {
            let replica = self.replicas.get(position)?;
            if replica.seats.available_permits() == 0 {
                continue;
            }
            if !replica.breaker.admits(now) {
                open.push(position);
                continue;
            }
            if let Some(seat) = replica.try_seat(position) {
                return Some(seat);
            }
        }
        open.into_iter()
            .find_map(|position| self.replicas.get(position)?.try_seat(position))
    }

    /// Whether these engines are what the deployment asks for now.
    pub(crate) fn serves(&self, deployment: &Deployment) -> bool {
        let loaded = &self.deployment;
        loaded.models == deployment.models
            && loaded.policy == deployment.policy
            && loaded.replicas == deployment.replicas
    }

    /// The replicas by position, the one to take first.
    fn order(&self) -> Vec<usize> {
        match self.deployment.policy {
            RoutingPolicy::LeastBusy | RoutingPolicy::PrefixAffinity => self.by_load(),
            RoutingPolicy::RoundRobin => self.from(self.turn.fetch_add(1, Ordering::Relaxed)),
            RoutingPolicy::Weighted => self.by_share(),
        }
    }

    /// The load of each decides, since one may fill up in between.
    fn by_load(&self) -> Vec<usize> {
        let running: Vec<u64> = self.replicas.iter().map(|replica| replica.running()).collect();
        let mut order: Vec<usize> = (0..self.replicas.len()).collect();
        // (running + 1) / weight, compared without division; ties keep the operator's order.
        order.sort_by(|left, right| {
            let load_left = (running[*left] + 1).saturating_mul(self.replicas[*right].weight);
            let load_right = (running[*right] + 1).saturating_mul(self.replicas[*left].weight);
            load_left.cmp(&load_right)
        });
        order
    }

    /// In turn, from `first` on.
    fn from(&self, first: usize) -> Vec<usize> {
        let count = self.replicas.len();
        (0..count).map(|step| first.wrapping_add(step) % count).collect()
    }

    /// In turn, each as often as its weight: of a sum of weights 2 + 1 the first takes two calls of
    /// three, whatever runs.
    fn by_share(&self) -> Vec<usize> {
        let total: u64 = self.replicas.iter().map(|replica| replica.weight).sum();
        let turn = u64::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap_or(u64::MAX);
        let mut rest = turn % total.max(1);
        let first = self.replicas.iter().position(|replica| {
            let is_its_turn = rest < replica.weight;
            rest = rest.saturating_sub(replica.weight);
            is_its_turn
        });
        self.from(first.unwrap_or(0))
    }
}
