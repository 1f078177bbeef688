//! The engines that are alive, so that none is loaded twice.
//!
//! A deployment is loaded by the operator's request and, because that request changes the
//! catalogue, by the reconciling task as well; both must end up with the same engine. The same
//! holds when only the weights or the models of a deployment change: what is known of an engine's
//! condition, and what it runs, stays.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use silica_engine::Engines;
use silica_platform::{Deployment, ReplicaSpec, SubType};
use tokio::sync::OnceCell;

use crate::affinity::Identity;
use crate::condition::Condition;
use crate::health::{Asking, Checks, Patient};
use crate::{EngineLoader, LoadError};

/// Finds engines by what they were started from. Holds them weakly: an engine lives as long as a
/// route, a prepared deployment or a running call uses it.
#[derive(Default)]
pub(crate) struct Registry {
    slots: Mutex<Vec<(Key, Weak<Slot>)>>,
}

/// The place of one engine, which may still be loading.
#[derive(Default)]
pub(crate) struct Slot {
    engine: OnceCell<Engines>,
    condition: Arc<Condition>,
    /// Set when the engine is asked for its health, which goes on as long as the slot lives.
    asking: OnceLock<Asking>,
}

/// What an engine was started from.
#[derive(Clone, PartialEq)]
struct Key {
    deployment: String,
    /// With what does not concern the engine blanked.
    spec: ReplicaSpec,
    /// What its models are for.
    sub_type: Option<SubType>,
    /// Tells replicas of the same specification apart.
    ordinal: usize,
}

impl Registry {
    /// Returns the slot of a deployment's replica and loads its engine unless that has happened.
    /// Two callers for the same replica wait for one load.
    pub(crate) async fn load(
        &self,
        loader: &dyn EngineLoader,
        checks: &Checks,
        (deployment, sub_type): (&Deployment, Option<SubType>),
        position: usize,
        spec: &ReplicaSpec,
    ) -> Result<(Arc<Slot>, Engines), LoadError> {
        let slot = self.slot(key(deployment, sub_type, position, spec));
        let engine = slot
            .engine
            .get_or_try_init(|| loader.load(deployment, spec, sub_type))
            .await?;
        let engines = engine.clone();
        if let Some(probe) = &engines.health {
            slot.asking.get_or_init(|| {
                checks.begin(Patient {
                    deployment: deployment.name.clone(),
                    position,
                    identity: Identity::within(deployment, position, spec),
                    probe: Arc::clone(probe),
                    condition: Arc::clone(&slot.condition),
                })
            });
        }
        Ok((slot, engines))
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(_, slot)| slot.strong_count() > 0);
        if let Some(slot) = slots
            .iter()
            .find(|(known, _)| *known == key)
            .and_then(|(_, slot)| slot.upgrade())
        {
            return slot;
        }
        let slot = Arc::<Slot>::default();
        slots.push((key, Arc::downgrade(&slot)));
        slot
    }
}

impl Slot {
    /// How the engine is doing.
    pub(crate) const fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }
}

fn key(deployment: &Deployment, sub_type: Option<SubType>, position: usize, spec: &ReplicaSpec) -> Key {
    let blank = |spec: &ReplicaSpec| ReplicaSpec {
        weight: 1,
        max_concurrency: None,
        drain: false,
        ..spec.clone()
    };
    let blanked = blank(spec);
    let ordinal = deployment
        .replicas
        .iter()
        .take(position)
        .filter(|other| blank(other) == blanked)
        .count();
    Key {
        deployment: deployment.name.clone(),
        spec: blanked,
        sub_type,
        ordinal,
    }
}
