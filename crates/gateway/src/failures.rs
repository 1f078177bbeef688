//! Why deployments are not in force.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use silica_platform::Deployment;

use crate::{DeployError, error_chain};

/// The last failure of each deployment that could not be loaded as it is wanted.
#[derive(Default)]
pub(crate) struct Failures(Mutex<BTreeMap<String, Failure>>);

struct Failure {
    /// What could not be loaded: of a deployment that was changed since, it says nothing.
    deployment: Arc<Deployment>,
    reason: String,
}

impl Failures {
    /// Notes that a deployment could not be loaded.
    pub(crate) fn note(&self, deployment: &Arc<Deployment>, error: &DeployError) {
        let failure = Failure {
            deployment: Arc::clone(deployment),
            reason: error_chain(error),
        };
        self.lock().insert(deployment.name.clone(), failure);
    }

    /// Forgets what was wrong with a deployment.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Keeps those of the deployments that `keep` names.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| keep(name));
    }

    /// Why the deployment, as it is given, could not be loaded; `None` when nothing is known to be
    /// wrong with it.
    pub(crate) fn of(&self, deployment: &Deployment) -> Option<String> {
        let failures = self.lock();
        let failure = failures.get(&deployment.name)?;
        (*failure.deployment == *deployment).then(|| failure.reason.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
