//! Which loaded deployment answers for which model: a snapshot behind an atomic pointer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use silica_platform::Catalogue;
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

    /// Puts a deployment in the place of the one with its name, which is returned. `catalogue` says
    /// which models are deployed.
    pub(crate) fn put(&self, loaded: &Arc<Loaded>, catalogue: &Catalogue) -> Option<Arc<Loaded>> {
        let name = &loaded.deployment.name;
        let before = self.change(catalogue, |deployments| {
            deployments.insert(name.clone(), Arc::clone(loaded));
        });
        before.by_deployment.get(name).map(Arc::clone)
    }

    /// Keeps the deployments that `keep` names and returns the others. Running calls keep their
    /// engines until they end.
    pub(crate) fn retain(&self, catalogue: &Catalogue, keep: impl Fn(&str) -> bool) -> Vec<Arc<Loaded>> {
        let before = self.change(catalogue, |deployments| deployments.retain(|name, _| keep(name)));
        let dropped = before.by_deployment.iter().filter(|(name, _)| !keep(name));
        dropped.map(|(_, loaded)| Arc::clone(loaded)).collect()
    }

    /// Changes the deployments and returns the table before. A model that has moved to a deployment
    /// which is not loaded yet is answered by the engines that it had until then: no call finds it
    /// without any.
    fn change(
        &self,
        catalogue: &Catalogue,
        change: impl Fn(&mut BTreeMap<String, Arc<Loaded>>),
    ) -> Arc<Table> {
        self.0.rcu(|table| {
            let mut by_deployment = table.by_deployment.clone();
            change(&mut by_deployment);
            let moving = table
                .by_model
                .iter()
                .filter(|(model, _)| catalogue.deployment_of(model.as_str()).is_some())
                .map(|(model, loaded)| (model.clone(), Arc::clone(loaded)));
            let in_force = by_deployment.values().flat_map(|loaded| {
                loaded
                    .deployment
                    .models
                    .iter()
                    .map(|model| (model.clone(), Arc::clone(loaded)))
            });
            // The later entry for a model wins.
            let by_model = moving.chain(in_force).collect();
            Table {
                by_deployment,
                by_model,
            }
        })
    }
}
