//! Puts a checked catalogue file in force, all of it or nothing.

use std::collections::HashMap;

use silica_storage::{
    CatalogueFile, CatalogueModel as Record, Deployment, ModelStatus, Scope, Write, catalogue,
    catalogue_file, deployments,
};

use super::{AppliedCatalogue, CheckedCatalogue};
use crate::operations::models::store_model;
use crate::sealing::Vault;
use crate::{Catalogue, Platform, PlatformError};

impl Platform {
    /// Stores a checked catalogue file in one transaction and shows it in one step. `path` is the
    /// file, as operators are told it.
    ///
    /// What is in the database as the file says it is not touched. A model whose price is the one
    /// that the file gave before keeps what the price book says: an entry that an operator added
    /// since stays in force.
    ///
    /// # Errors
    /// [`PlatformError::Conflict`] when the catalogue changed since the check, or
    /// [`PlatformError::Storage`]; nothing has changed then.
    pub async fn apply_catalogue(
        &self,
        path: &str,
        checked: &CheckedCatalogue,
    ) -> Result<AppliedCatalogue, PlatformError> {
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        let before = catalogue_file::find(&write).await?;
        let file = self.named(path, checked);
        let applied = AppliedCatalogue {
            models: put_models(&write, &checked.models).await?,
            disabled_models: disable_models(&write, before.as_ref(), &file).await?,
            ..replace_deployments(&self.shared.vault, &write, before.as_ref(), checked).await?
        };
        let is_known = before.is_some_and(|before| {
            (&before.path, &before.models, &before.deployments)
                == (&file.path, &file.models, &file.deployments)
        });
        if applied.is_empty() && is_known {
            // Dropped, the change leaves no trace, and other processes read nothing again.
            return Ok(applied);
        }
        catalogue_file::put(&write, &file).await?;
        let whole = self.read_catalogue(&write).await?;
        let revision = write.commit().await?;
        self.shared.install_catalogue(revision, whole);
        Ok(applied)
    }

    fn named(&self, path: &str, checked: &CheckedCatalogue) -> CatalogueFile {
        let mut models: Vec<_> = checked.models.iter().map(|model| model.id.to_string()).collect();
        let mut deployments: Vec<_> = checked.deployments.iter().map(|one| one.name.clone()).collect();
        models.sort();
        deployments.sort();
        CatalogueFile {
            path: path.to_owned(),
            models,
            deployments,
            applied_at: self.now(),
        }
    }
}

/// Stores the models that are new or different and returns their ids.
async fn put_models(write: &Write, models: &[Record]) -> Result<Vec<String>, PlatformError> {
    let mut changed = Vec::new();
    for model in models {
        let stored = catalogue::find(write, &model.id).await?;
        match &stored {
            Some(stored) if is_same_model(stored, model) => continue,
            Some(stored) if stored.price == model.price => catalogue::put(write, model).await?,
            Some(_) | None => drop(store_model(write, model).await?),
        }
        changed.push(model.id.to_string());
    }
    Ok(changed)
}

/// Disables the models that the file named before and no longer does; returns their ids. They
/// cannot be deleted: past calls and the price book name them.
async fn disable_models(
    write: &Write,
    before: Option<&CatalogueFile>,
    file: &CatalogueFile,
) -> Result<Vec<String>, PlatformError> {
    let gone = before.into_iter().flat_map(|before| &before.models);
    let gone: Vec<&String> = gone.filter(|id| !file.models.contains(id)).collect();
    let mut disabled = Vec::new();
    if gone.is_empty() {
        return Ok(disabled);
    }
    for model in catalogue::list(write).await? {
        if gone.iter().any(|id| id.as_str() == model.id.as_str()) && model.status != ModelStatus::Disabled {
            let off = Record {
                status: ModelStatus::Disabled,
                updated_at: file.applied_at,
                ..model
            };
            catalogue::put(write, &off).await?;
            disabled.push(off.id.to_string());
        }
    }
    Ok(disabled)
}

/// Stores the deployments that are new or different, and deletes those that the file named before
/// and no longer does.
async fn replace_deployments(
    vault: &Vault,
    write: &Write,
    before: Option<&CatalogueFile>,
    checked: &CheckedCatalogue,
) -> Result<AppliedCatalogue, PlatformError> {
    let stored = vault.list(write, &Catalogue::default()).await?;
    let stored: HashMap<&str, &Deployment> = stored.iter().map(|one| (one.name.as_str(), one)).collect();
    let is_named = |name: &str| checked.deployments.iter().any(|one| one.name == name);
    let mut applied = AppliedCatalogue::default();
    let gone = before.into_iter().flat_map(|file| &file.deployments);
    for name in gone.filter(|name| !is_named(name)) {
        if deployments::delete(write, name).await? {
            applied.deleted_deployments.push(name.clone());
        }
    }
    let changed: Vec<&Deployment> = checked
        .deployments
        .iter()
        .filter(|new| {
            !stored
                .get(new.name.as_str())
                .is_some_and(|old| is_same_deployment(old, new))
        })
        .collect();
    // All of them first: a model may move from one to another, and belongs to one at a time.
    for new in &changed {
        deployments::delete(write, &new.name).await?;
    }
    for new in changed {
        let created_at = stored
            .get(new.name.as_str())
            .map_or(new.created_at, |old| old.created_at);
        let new = Deployment {
            created_at,
            ..new.clone()
        };
        vault.put(write, &new).await?;
        applied.deployments.push(new.name);
    }
    Ok(applied)
}

/// Whether both say the same, whenever they were put.
fn is_same_model(stored: &Record, new: &Record) -> bool {
    let new = Record {
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        ..new.clone()
    };
    *stored == new
}

/// Whether both say the same, whenever they were put.
pub(super) fn is_same_deployment(stored: &Deployment, new: &Deployment) -> bool {
    let new = Deployment {
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        ..new.clone()
    };
    *stored == new
}
