//! A loaded deployment and the choice among its replicas.

use std::sync::Arc;

use silica_engine::ChatEngine;
use silica_platform::{Deployment, ReplicaSpec, RoutingPolicy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::registry::Slot;

/// One loaded engine with its limits.
pub(crate) struct Replica {
    engine: Arc<dyn ChatEngine>,
    weight: u64,
    limit: usize,
    seats: Arc<Semaphore>,
    /// Keeps the registry's entry alive, so that a later deployment finds this engine.
    _slot: Arc<Slot>,
}

/// The right to run one call on a replica; dropping it gives the seat back.
pub(crate) struct Seat {
    engine: Arc<dyn ChatEngine>,
    _permit: OwnedSemaphorePermit,
}

/// A deployment whose engines are loaded.
pub(crate) struct Loaded {
    pub(crate) deployment: Deployment,
    pub(crate) replicas: Vec<Replica>,
}

impl Replica {
    pub(crate) fn new(spec: &ReplicaSpec, engine: Arc<dyn ChatEngine>, slot: Arc<Slot>) -> Self {
        let limit = spec.max_concurrency.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            engine,
            weight: u64::from(spec.weight.max(1)),
            limit,
            seats: Arc::new(Semaphore::new(limit)),
            _slot: slot,
        }
    }

    fn running(&self) -> u64 {
        u64::try_from(self.limit - self.seats.available_permits()).unwrap_or(u64::MAX)
    }

    fn try_seat(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat {
            engine: Arc::clone(&self.engine),
            _permit: permit,
        })
    }
}

impl Seat {
    pub(crate) fn engine(&self) -> &dyn ChatEngine {
        &*self.engine
    }
}

impl Loaded {
    /// Takes a seat by the deployment's policy; `None` when every replica is full.
    pub(crate) fn seat(&self) -> Option<Seat> {
        match self.deployment.policy {
            RoutingPolicy::LeastBusy => self.least_busy(),
        }
    }

    /// Whether these engines are what the deployment asks for now.
    pub(crate) fn serves(&self, deployment: &Deployment) -> bool {
        let loaded = &self.deployment;
        loaded.models == deployment.models
            && loaded.policy == deployment.policy
            && loaded.replicas == deployment.replicas
    }

    /// Tries the replicas in the order of their load, since one may fill up in between.
    fn least_busy(&self) -> Option<Seat> {
        let mut order: Vec<(u64, &Replica)> = self
            .replicas
            .iter()
            .map(|replica| (replica.running(), replica))
            .collect();
        // (running + 1) / weight, compared without division; ties keep the operator's order.
        order.sort_by(|(left_running, left), (right_running, right)| {
            let left_load = (left_running + 1).saturating_mul(right.weight);
            let right_load = (right_running + 1).saturating_mul(left.weight);
            left_load.cmp(&right_load)
        });
        order.into_iter().find_map(|(_, replica)| replica.try_seat())
    }
}
