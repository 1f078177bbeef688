//! Deployments.

mod check;
mod fallbacks;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use silica_storage::{Deployment, RoutingPolicy, Scope, Storage, deployments};
use silica_types::Secret;

use super::catalogue_file::refuse_managed_deployment;
pub(super) use fallbacks::check_unused;

use crate::validate::{self, invalid, unknown};
use crate::{Catalogue, Platform, PlatformError};

/// A deployment as an operator gives it; it replaces one of the same name as a whole.
#[derive(Debug, Clone, Default)]
pub struct NewDeployment {
    /// Its name.
    pub name: String,
    /// The catalogue models that it answers for.
    pub models: Vec<String>,
    /// How a replica is chosen; `None` means the least busy.
    pub policy: Option<String>,
    /// Its engines.
    pub replicas: Vec<NewReplica>,
    /// The deployments that answer, in this order, when none of its own replicas can: by name.
    pub fallbacks: Vec<String>,
}

/// An engine of a deployment as an operator gives it.
#[derive(Debug, Clone, Default)]
pub struct NewReplica {
    /// Which engine, such as `candle`.
    pub engine: String,
    /// The model's folder or GGUF file, for embedded engines.
    pub path: Option<PathBuf>,
    /// A folder as PEFT writes it, with an adapter for the model at `path`, for embedded engines.
    pub adapter: Option<PathBuf>,
    /// How an embedded engine quantises the weights, such as `q8_0`; `None` does what the
    /// configuration says.
    pub quantize: Option<String>,
    /// The server's address, for remote engines.
    pub url: Option<String>,
    /// The key that a remote engine asks for.
    pub api_key: Option<Secret>,
    /// The model's name at a remote engine.
    pub upstream_model: Option<String>,
    /// Whether a remote engine may stand at a private address.
    pub allow_private: bool,
    /// Its share of the calls; `None` means 1.
    pub weight: Option<u32>,
    /// The calls that it may run at once; `None` leaves that to the engine.
    pub max_concurrency: Option<u32>,
    /// Takes no new calls; running ones go on to their end.
    pub drain: bool,
    /// Whether a remote engine is asked for its usage in every frame.
    pub continuous_usage: bool,
    /// What a remote engine's health is asked of, below its `url`; `None` means `/models`, an empty
    /// text that it is not asked.
    pub health_path: Option<String>,
    /// The longest wait for a connection to a remote engine, in milliseconds; `None` is the default.
    pub connect_timeout_ms: Option<u32>,
    /// The longest wait for the first token, in milliseconds; `None` is the default.
    pub first_token_timeout_ms: Option<u32>,
    /// The longest silence between two frames, in milliseconds; `None` is the default.
    pub stall_timeout_ms: Option<u32>,
}

/// The folders that embedded engines and their adapters are served from, each with its deployment's name. Reads the
/// database alone: keys stay sealed, and nothing is changed.
///
/// # Errors
/// [`PlatformError::Storage`].
pub async fn deployed_folders(storage: &Storage) -> Result<Vec<(String, PathBuf)>, PlatformError> {
    let mut folders = Vec::new();
    for deployment in deployments::list(storage).await? {
        let replicas = deployment.replicas.into_iter();
        let paths = replicas.flat_map(|replica| [replica.path, replica.adapter].into_iter().flatten());
        folders.extend(paths.map(|path| (deployment.name.clone(), path)));
    }
    Ok(folders)
}

impl Platform {
    /// Checks a deployment against the rules and the catalogue, without storing it: its engines
    /// can then be started before anything changes.
    ///
    /// # Errors
    /// [`PlatformError::Invalid`], or [`PlatformError::Conflict`] when another deployment has one
    /// of the models.
    pub fn check_deployment(&self, new: NewDeployment) -> Result<Deployment, PlatformError> {
        check_deployment(new, &self.catalogue(), self.now())
    }

    /// Stores a checked deployment. In force at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::Conflict`] or [`PlatformError::Invalid`] when the catalogue changed since the
    /// check, [`PlatformError::Managed`] when it comes from the catalogue file, or
    /// [`PlatformError::Storage`].
    pub async fn put_deployment(&self, deployment: Deployment) -> Result<Arc<Deployment>, PlatformError> {
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        refuse_managed_deployment(&write, &deployment.name).await?;
        // Again: another process may have changed what the check saw.
        if !deployment.fallbacks.is_empty() {
            let others = deployments::list(&write).await?;
            fallbacks::check(&deployment.name, &deployment.fallbacks, &others)?;
        }
        self.shared.vault.put(&write, &deployment).await?;
        // Read back for the time of creation, which stays that of the first.
        let stored = self
            .shared
            .vault
            .find(&write, &deployment.name)
            .await?
            .map_or_else(|| Arc::new(deployment), Arc::new);
        let revision = write.commit().await?;
        self.shared.apply_to_catalogue(revision, |catalogue| {
            catalogue.with_deployment(Arc::clone(&stored))
        });
        tracing::info!(deployment.name = %stored.name, revision, "deployment {} stored", stored.name);
        Ok(stored)
    }

    /// Returns every deployment, sorted by name.
    pub fn deployments(&self) -> Vec<Arc<Deployment>> {
        self.catalogue().deployments().to_vec()
    }

    /// Deletes a deployment; its models stay in the catalogue. In force at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`], [`PlatformError::IsFallback`] while others name it as a fallback,
    /// [`PlatformError::Managed`] or [`PlatformError::Storage`].
    pub async fn delete_deployment(&self, name: &str) -> Result<(), PlatformError> {
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        refuse_managed_deployment(&write, name).await?;
        check_unused(name, &deployments::list(&write).await?)?;
        if !deployments::delete(&write, name).await? {
            return Err(PlatformError::NotFound {
                what: "deployment",
                id: name.chars().take(128).collect(),
            });
        }
        let revision = write.commit().await?;
        self.shared
            .apply_to_catalogue(revision, |catalogue| catalogue.without_deployment(name));
        tracing::info!(deployment.name = %name, revision, "deployment {name} deleted");
        Ok(())
    }
}

/// Checks a deployment against the rules and a catalogue.
pub(super) fn check_deployment(
    new: NewDeployment,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Result<Deployment, PlatformError> {
    let name = validate::deployment_name(&new.name)?;
    let models = check::models(catalogue, &name, &new.models)?;
    fallbacks::check(
        &name,
        &new.fallbacks,
        catalogue.deployments().iter().map(AsRef::as_ref),
    )?;
    let policy = new
        .policy
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(unknown("policy"))?;
    if new.replicas.is_empty() {
        return Err(invalid("replicas", "needs at least one engine"));
    }
    let replicas = (0..)
        .zip(new.replicas)
        .map(|(index, replica)| check::replica(index, replica));
    Ok(Deployment {
        replicas: replicas.collect::<Result<_, _>>()?,
        name,
        models,
        policy: policy.unwrap_or(RoutingPolicy::LeastBusy),
        fallbacks: new.fallbacks,
        created_at: now,
        updated_at: now,
    })
}
