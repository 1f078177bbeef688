//! The rules for a whole catalogue file.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use silica_storage::{CatalogueFile, CatalogueModel as Record, Deployment, RoutingPolicy};
use silica_types::ModelName;

use super::{CatalogueEntry, CatalogueFault, CheckedCatalogue, NewCatalogue};
use crate::operations::deployments::{check_deployment, check_unused};
use crate::operations::models::check_model;
use crate::operations::{NewDeployment, NewModel};
use crate::validate::invalid;
use crate::{Catalogue, CatalogueModel, Platform, PlatformError};

/// Checks a file by itself, as if nothing else were in the catalogue. `now` becomes the time of
/// its entries.
///
/// # Errors
/// The first fault, models first.
pub fn check_catalogue(new: NewCatalogue, now: Timestamp) -> Result<CheckedCatalogue, CatalogueFault> {
    check(new, &Catalogue::default(), None, now)
}

impl Platform {
    /// Checks a catalogue file against the rules and what else the catalogue has, without storing
    /// it: its engines can then be started before anything changes.
    ///
    /// # Errors
    /// The first fault, models first. A database that fails is one of [`CatalogueEntry::Missing`].
    pub async fn check_catalogue(&self, new: NewCatalogue) -> Result<CheckedCatalogue, CatalogueFault> {
        let before = self.catalogue_file().await.map_err(|source| CatalogueFault {
            entry: CatalogueEntry::Missing,
            source,
        })?;
        check(new, &self.catalogue(), before.as_ref(), self.now())
    }
}

fn check(
    new: NewCatalogue,
    current: &Catalogue,
    before: Option<&CatalogueFile>,
    now: Timestamp,
) -> Result<CheckedCatalogue, CatalogueFault> {
    let models = check_models(new.models, now)?;
    check_names(&new.deployments, &models)?;
    let planned = plan(current, before, &models, &new.deployments, now);
    let gone = before.into_iter().flat_map(|file| &file.deployments);
    for name in gone.filter(|name| planned.deployment(name).is_none()) {
        let deployments = planned.deployments().iter().map(AsRef::as_ref);
        check_unused(name, deployments).map_err(at(CatalogueEntry::Missing))?;
    }
    let deployments = new.deployments.into_iter().enumerate().map(|(index, new)| {
        check_deployment(new, &planned, now).map_err(at(CatalogueEntry::Deployment(index)))
    });
    Ok(CheckedCatalogue {
        deployments: deployments.collect::<Result<_, _>>()?,
        models,
    })
}

fn at(entry: CatalogueEntry) -> impl Fn(PlatformError) -> CatalogueFault {
    move |source| CatalogueFault { entry, source }
}

fn check_models(new: Vec<NewModel>, now: Timestamp) -> Result<Vec<Record>, CatalogueFault> {
    let mut seen = HashSet::new();
    let models = new.into_iter().enumerate().map(|(index, new)| {
        let at = at(CatalogueEntry::Model(index));
        if !seen.insert(new.id.clone()) {
            return Err(at(invalid("id", format!("{} is there twice", new.id))));
        }
        check_model(new, now).map_err(at)
    });
    models.collect()
}

/// Checks that the file's deployments have different names and keep to the file.
fn check_names(deployments: &[NewDeployment], models: &[Record]) -> Result<(), CatalogueFault> {
    let names: HashSet<&str> = deployments.iter().map(|new| new.name.as_str()).collect();
    let models: HashSet<&str> = models.iter().map(|model| model.id.as_str()).collect();
    let mut seen = HashSet::new();
    for (index, new) in deployments.iter().enumerate() {
        let refuse = |field: String, problem: String| {
            Err(at(CatalogueEntry::Deployment(index))(invalid(field, problem)))
        };
        if !seen.insert(new.name.as_str()) {
            return refuse("name".to_owned(), format!("{} is there twice", shown(&new.name)));
        }
        for (position, model) in new.models.iter().enumerate() {
            if !models.contains(model.as_str()) {
                let problem = format!("{:?} is not a model of this file", shown(model));
                return refuse(format!("models[{position}]"), problem);
            }
        }
        for (position, fallback) in new.fallbacks.iter().enumerate() {
            if !names.contains(fallback.as_str()) {
                let problem = format!("{:?} is not a deployment of this file", shown(fallback));
                return refuse(format!("fallbacks[{position}]"), problem);
            }
        }
    }
    Ok(())
}

/// A text from the file as it may be repeated.
fn shown(text: &str) -> String {
    text.chars().take(256).collect()
}

/// The catalogue as it would be with the file in force, as far as the rules for deployments look:
/// names, models and fallbacks.
fn plan(
    current: &Catalogue,
    before: Option<&CatalogueFile>,
    models: &[Record],
    deployments: &[NewDeployment],
    now: Timestamp,
) -> Catalogue {
    let was_named = |name: &str| before.is_some_and(|file| file.deployments.iter().any(|old| old == name));
    let is_named = |name: &str| deployments.iter().any(|new| new.name == name);
    let others = current.deployments().iter();
    let others = others.filter(|stored| !was_named(&stored.name) && !is_named(&stored.name));
    let planned = deployments.iter().map(|new| {
        let models = new.models.iter().filter_map(|id| ModelName::new(id).ok());
        Arc::new(Deployment {
            name: new.name.clone(),
            models: models.collect(),
            policy: RoutingPolicy::LeastBusy,
            replicas: Vec::new(),
            fallbacks: new.fallbacks.clone(),
            created_at: now,
            updated_at: now,
        })
    });
    let mut all: Vec<_> = others.cloned().chain(planned).collect();
    all.sort_by(|left, right| left.name.cmp(&right.name));
    let named: HashSet<_> = models.iter().map(|model| &model.id).collect();
    let kept = current.models().iter().filter(|model| !named.contains(&model.id));
    let new = models
        .iter()
        .map(|model| Arc::new(CatalogueModel::new(model.clone(), Vec::new())));
    Catalogue::new(kept.cloned().chain(new).collect(), all)
}
