//! Which loaded deployment answers for which model: a snapshot behind an atomic pointer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use silica_types::ModelName;

use crate::replica::Loaded;

/// The routes in force. Reading takes no lock; a change replaces the whole table.
#[derive(Default)]
pub(crate) struct Routes(ArcSwap<Table>);

#[derive(Default, Clone)]
struct Table {
    by_deployment: BTreeMap<String, Arc<Loaded>>,
    by_model: HashMap<ModelName, Arc<Loaded>>,
}

impl Routes {
    /// The deployment that answers for a model.
    pub(crate) fn of_model(&self, model: &str) -> Option<Arc<Loaded>> {
        self.0.load().by_model.get(model).map(Arc::clone)
    }

    /// The loaded deployment with this name.
    pub(crate) fn of_deployment(&self, name: &str) -> Option<Arc<Loaded>> {
        self.0.load().by_deployment.get(name).map(Arc::clone)
    }

    /// Puts a deployment in the place of the one with its name.
    pub(crate) fn put(&self, loaded: &Arc<Loaded>) {
        self.change(|deployments| {
            deployments.insert(loaded.deployment.name.clone(), Arc::clone(loaded));
        });
    }

    /// Keeps the deployments that `keep` names. Running calls keep their engines until they end.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.change(|deployments| deployments.retain(|name, _| keep(name)));
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<String, Arc<Loaded>>)) {
        self.0.rcu(|table| {
            let mut by_deployment = table.by_deployment.clone();
            change(&mut by_deployment);
            let by_model = by_deployment
                .values()
                .flat_map(|loaded| {
                    loaded
                        .deployment
                        .models
                        .iter()
                        .map(|model| (model.clone(), Arc::clone(loaded)))
                })
                .collect();
            Table {
                by_deployment,
                by_model,
            }
        });
    }
}
