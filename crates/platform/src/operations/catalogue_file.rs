//! The catalogue file: models and deployments that are described in one file and change together.
//!
//! What the file names belongs to it, also what was there before; operators' changes by another way
//! are refused. What it no longer names goes. The rest of the catalogue is left alone.

mod apply;
mod check;

use std::fmt;

use silica_storage::{
    CatalogueFile, CatalogueModel as Record, Deployment, Scope, SubType, Write, catalogue_file,
};
use silica_types::ModelName;

use super::{NewDeployment, NewModel};
use crate::{Catalogue, Platform, PlatformError};

pub use check::check_catalogue;

/// All that a catalogue file says.
#[derive(Debug, Clone, Default)]
pub struct NewCatalogue {
    /// Its models, in its order.
    pub models: Vec<NewModel>,
    /// Its deployments, in its order. They answer for models of the file only, and fall back to
    /// deployments of the file only.
    pub deployments: Vec<NewDeployment>,
}

/// The part of a file that is at fault, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogueEntry {
    /// A model.
    Model(usize),
    /// A deployment.
    Deployment(usize),
    /// Something that the file no longer has.
    Missing,
}

impl fmt::Display for CatalogueEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(index) => write!(formatter, "models[{index}]"),
            Self::Deployment(index) => write!(formatter, "deployments[{index}]"),
            Self::Missing => formatter.write_str("what the file no longer names"),
        }
    }
}

/// Why a catalogue file is not good.
#[derive(Debug, thiserror::Error)]
#[error("{entry}")]
pub struct CatalogueFault {
    /// Where the fault lies.
    pub entry: CatalogueEntry,
    /// What is wrong there.
    #[source]
    pub source: PlatformError,
}

/// A file whose every part is good.
#[derive(Debug, Clone)]
pub struct CheckedCatalogue {
    models: Vec<Record>,
    deployments: Vec<Deployment>,
}

impl CheckedCatalogue {
    /// How many models it has.
    pub const fn models(&self) -> usize {
        self.models.len()
    }

    /// Its deployments.
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// What the models of a deployment are for, as the file says; `None` when it names none of them.
    pub fn sub_type_of(&self, deployment: &Deployment) -> Option<SubType> {
        let mut names = deployment.models.iter();
        names.find_map(|name| {
            let model = self.models.iter().find(|model| model.id == *name)?;
            Some(model.sub_type)
        })
    }

    /// The deployments that are not in force as they are now.
    pub fn changed_deployments<'a>(
        &'a self,
        catalogue: &'a Catalogue,
    ) -> impl Iterator<Item = &'a Deployment> {
        self.deployments.iter().filter(|deployment| {
            let stored = catalogue.deployment(&deployment.name);
            !stored.is_some_and(|stored| apply::is_same_deployment(stored, deployment))
        })
    }
}

/// What a file has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppliedCatalogue {
    /// The models that are new or different, by id.
    pub models: Vec<String>,
    /// The deployments that are new or different, by name.
    pub deployments: Vec<String>,
    /// The models that the file no longer names: disabled, since past calls and prices name them.
    pub disabled_models: Vec<String>,
    /// The deployments that the file no longer names: deleted.
    pub deleted_deployments: Vec<String>,
}

impl AppliedCatalogue {
    /// Whether all was so before.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Platform {
    /// Returns what the catalogue file named when it was applied last; `None` when there is none.
    ///
    /// # Errors
    /// [`PlatformError::Storage`].
    pub async fn catalogue_file(&self) -> Result<Option<CatalogueFile>, PlatformError> {
        Ok(catalogue_file::find(&self.shared.storage).await?)
    }

    /// Lets go of what came from the catalogue file: it stays as it is and belongs to the operators
    /// from now on. Returns what came from it.
    ///
    /// # Errors
    /// [`PlatformError::Storage`].
    pub async fn forget_catalogue_file(&self) -> Result<Option<CatalogueFile>, PlatformError> {
        let Some(file) = self.catalogue_file().await? else {
            return Ok(None);
        };
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        catalogue_file::forget(&write).await?;
        write.commit().await?;
        Ok(Some(file))
    }
}

/// Refuses to change a model that comes from the catalogue file.
pub(super) async fn refuse_managed_model(write: &Write, id: &ModelName) -> Result<(), PlatformError> {
    let named = |file: &CatalogueFile| file.models.iter().any(|named| named == id.as_str());
    refuse(write, "model", id.as_str(), named).await
}

/// Refuses to change or delete a deployment that comes from the catalogue file.
pub(super) async fn refuse_managed_deployment(write: &Write, name: &str) -> Result<(), PlatformError> {
    let named = |file: &CatalogueFile| file.deployments.iter().any(|named| named == name);
    refuse(write, "deployment", name, named).await
}

async fn refuse(
    write: &Write,
    what: &'static str,
    id: &str,
    is_named: impl Fn(&CatalogueFile) -> bool,
) -> Result<(), PlatformError> {
    match catalogue_file::find(write).await? {
        Some(file) if is_named(&file) => Err(PlatformError::Managed {
            what,
            id: id.to_owned(),
            file: file.path,
        }),
        Some(_) | None => Ok(()),
    }
}
