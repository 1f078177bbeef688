//! Deployments.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use silica_storage::{Conflict, Deployment, EngineKind, ReplicaSpec, RoutingPolicy, Scope, deployments};
use silica_types::{ModelName, Secret};
use url::Url;

use crate::validate::{self, invalid, unknown};
use crate::{Platform, PlatformError};

const URL_BYTES: usize = 2048;
const UPSTREAM_MODEL_BYTES: usize = 256;

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
}

/// An engine of a deployment as an operator gives it.
#[derive(Debug, Clone, Default)]
pub struct NewReplica {
    /// Which engine, such as `candle`.
    pub engine: String,
    /// The model's folder, for embedded engines.
    pub path: Option<PathBuf>,
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
}

impl Platform {
    /// Checks a deployment against the rules and the catalogue, without storing it: its engines
    /// can then be started before anything changes.
    ///
    /// # Errors
    /// [`PlatformError::Invalid`], or [`PlatformError::Conflict`] when another deployment has one
    /// of the models.
    pub fn check_deployment(&self, new: NewDeployment) -> Result<Deployment, PlatformError> {
        let name = validate::deployment_name(&new.name)?;
        let models = self.check_models(&name, &new.models)?;
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
            .map(|(index, replica)| check_replica(index, replica));
        let now = self.now();
        Ok(Deployment {
            replicas: replicas.collect::<Result<_, _>>()?,
            name,
            models,
            policy: policy.unwrap_or(RoutingPolicy::LeastBusy),
            created_at: now,
            updated_at: now,
        })
    }

    /// Stores a checked deployment. In force at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::Conflict`] when the catalogue changed since the check, or [`PlatformError::Storage`].
    pub async fn put_deployment(&self, deployment: Deployment) -> Result<Arc<Deployment>, PlatformError> {
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        deployments::put(&write, &deployment).await?;
        // Read back for the time of creation, which stays that of the first.
        let stored = deployments::find(&write, &deployment.name)
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
    /// [`PlatformError::NotFound`] or [`PlatformError::Storage`].
    pub async fn delete_deployment(&self, name: &str) -> Result<(), PlatformError> {
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
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

    fn check_models(&self, deployment: &str, models: &[String]) -> Result<Vec<ModelName>, PlatformError> {
        if models.is_empty() {
            return Err(invalid("models", "needs at least one model of the catalogue"));
        }
        let catalogue = self.catalogue();
        let mut seen = HashSet::new();
        let check = |(index, id): (usize, &String)| {
            let field = format!("models[{index}]");
            let Some(model) = catalogue.model(id) else {
                let shown: String = id.chars().take(256).collect();
                return Err(invalid(
                    field,
                    format!("{shown:?} is not in the catalogue; put the model first"),
                ));
            };
            if !seen.insert(model.id.clone()) {
                return Err(invalid(field, format!("{id} is named twice")));
            }
            if catalogue
                .deployment_of(id)
                .is_some_and(|other| other.name != deployment)
            {
                return Err(PlatformError::Conflict(Conflict::ModelDeployed {
                    model: id.clone(),
                }));
            }
            Ok(model.id.clone())
        };
        models.iter().enumerate().map(check).collect()
    }
}

fn check_replica(index: usize, new: NewReplica) -> Result<ReplicaSpec, PlatformError> {
    let field = |name: &str| format!("replicas[{index}].{name}");
    let engine: EngineKind = new.engine.parse().map_err(unknown(field("engine")))?;
    match engine {
        EngineKind::Candle => check_folder(&field, new.path.as_deref())?,
        EngineKind::OpenAi => check_server(&field, &new)?,
    }
    Ok(ReplicaSpec {
        engine,
        path: new.path,
        url: new.url,
        api_key: new.api_key,
        upstream_model: new.upstream_model,
        allow_private: new.allow_private,
        weight: validate::positive(field("weight"), new.weight.unwrap_or(1))?,
        max_concurrency: new
            .max_concurrency
            .map(|value| validate::positive(field("max_concurrency"), value))
            .transpose()?,
    })
}

fn check_folder(field: &impl Fn(&str) -> String, path: Option<&Path>) -> Result<(), PlatformError> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
        return Err(invalid(
            field("path"),
            "the engine candle needs the folder of its model",
        ));
    };
    // Servers that share a database may run in different folders, and so may the next start.
    if !path.is_absolute() {
        let shown: String = path.display().to_string().chars().take(256).collect();
        return Err(invalid(
            field("path"),
            format!("{shown:?} is relative; give the folder's absolute path, such as /srv/models/name"),
        ));
    }
    Ok(())
}

/// Checks the server of a remote engine. The texts are not repeated: people put keys into URLs.
fn check_server(field: &impl Fn(&str) -> String, new: &NewReplica) -> Result<(), PlatformError> {
    let url = new.url.as_deref().filter(|url| url.len() <= URL_BYTES);
    let parsed = url.and_then(|url| Url::parse(url).ok());
    let usable = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !usable {
        return Err(invalid(
            field("url"),
            "the engine openai needs the base URL of its server, such as https://host.example/v1, without a user, a query or a fragment",
        ));
    }
    let usable = new.upstream_model.as_deref().is_none_or(|model| {
        !model.is_empty() && model.len() <= UPSTREAM_MODEL_BYTES && !model.chars().any(char::is_control)
    });
    if !usable {
        return Err(invalid(
            field("upstream_model"),
            format!("must have 1 to {UPSTREAM_MODEL_BYTES} bytes and no control characters, or be absent"),
        ));
    }
    Ok(())
}
