//! Deployments on their way to and from the database: keys are sealed before, and opened after.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use silica_storage::{Deployment, Scope, Source, Storage, StorageError, Write, deployments};

use super::{MasterKeys, OpenError, Owner, is_sealed, open, seal};
use crate::error::chain;
use crate::{Catalogue, PlatformError};

/// Where the master keys come from.
pub trait MasterKeySource: Send + Sync + fmt::Debug {
    /// Reads the keys as they are now. Called before every sealing, so that a rotation in another
    /// process is noticed, and when a stored key needs a master key that is not known.
    ///
    /// # Errors
    /// When they cannot be read or are malformed; the text must not hold them.
    fn read(&self) -> Result<MasterKeys, Box<dyn Error + Send + Sync>>;
}

/// Keys that stay as they are.
impl MasterKeySource for MasterKeys {
    fn read(&self) -> Result<MasterKeys, Box<dyn Error + Send + Sync>> {
        Ok(self.clone())
    }
}

/// The only way of deployments to and from the database.
pub(crate) struct Vault {
    source: Arc<dyn MasterKeySource>,
    /// What the source said last, and behind that what it said before.
    keys: ArcSwap<MasterKeys>,
    /// Whether the catalogue was last read with keys that did not open.
    has_unopened: AtomicBool,
}

impl Vault {
    /// Reads the master keys.
    ///
    /// # Errors
    /// [`PlatformError::MasterKey`].
    pub(crate) fn new(source: Arc<dyn MasterKeySource>) -> Result<Self, PlatformError> {
        let keys = source.read().map_err(PlatformError::MasterKey)?;
        Ok(Self {
            source,
            keys: ArcSwap::from_pointee(keys),
            has_unopened: AtomicBool::new(false),
        })
    }

    /// Stores a deployment with its keys sealed.
    ///
    /// The master key is read after the change has begun, and changes run one after the other: what
    /// is sealed here with a key that a rotation replaces is there when the rotation seals anew.
    ///
    /// # Errors
    /// [`PlatformError::MasterKey`], [`PlatformError::Random`] or those of [`deployments::put`].
    pub(crate) async fn put(&self, write: &Write, deployment: &Deployment) -> Result<(), PlatformError> {
        let mut sealed = deployment.clone();
        if sealed.replicas.iter().any(|replica| replica.api_key.is_some()) {
            self.read_again().map_err(PlatformError::MasterKey)?;
            seal_all(&self.keys.load(), &mut sealed)?;
        }
        Ok(deployments::put(write, &sealed).await?)
    }

    /// Looks a deployment up by its name; its keys are opened.
    ///
    /// # Errors
    /// Those of [`deployments::find`].
    pub(crate) async fn find(
        &self,
        source: &impl Source,
        name: &str,
    ) -> Result<Option<Deployment>, StorageError> {
        let mut found = deployments::find(source, name).await?;
        self.open_all(found.as_mut_slice(), &Catalogue::default());
        Ok(found)
    }

    /// Lists all deployments by name; their keys are opened. One that needs an unknown master key
    /// stays as `last_known` has it, and if that has not either, stays sealed.
    ///
    /// # Errors
    /// Those of [`deployments::list`].
    pub(crate) async fn list(
        &self,
        source: &impl Source,
        last_known: &Catalogue,
    ) -> Result<Vec<Deployment>, StorageError> {
        let mut found = deployments::list(source).await?;
        let all_opened = self.open_all(&mut found, last_known);
        self.has_unopened.store(!all_opened, Ordering::Relaxed);
        Ok(found)
    }

    /// Whether keys of the catalogue did not open, and there is a new master key since.
    pub(crate) fn may_open_more(&self) -> bool {
        // That the file cannot be read was said when the catalogue was.
        self.has_unopened.load(Ordering::Relaxed) && self.read_again().unwrap_or(false)
    }

    /// Seals what an earlier version stored in clear.
    ///
    /// # Errors
    /// [`PlatformError::Storage`], [`PlatformError::MasterKey`] or [`PlatformError::Random`].
    pub(crate) async fn seal_clear_keys(&self, storage: &Storage) -> Result<(), PlatformError> {
        // Looked at first without a change, which would make every other process read again.
        if !deployments::list(storage).await?.iter().any(has_clear_key) {
            return Ok(());
        }
        let write = storage.begin(Scope::Catalogue).await?;
        self.read_again().map_err(PlatformError::MasterKey)?;
        for mut deployment in deployments::list(&write).await? {
            if has_clear_key(&deployment) {
                seal_all(&self.keys.load(), &mut deployment)?;
                deployments::replace_replicas(&write, &deployment.name, &deployment.replicas).await?;
                tracing::info!(
                    deployment.name = %deployment.name,
                    "sealed the upstream keys of deployment {}, which an earlier version stored in clear",
                    deployment.name
                );
            }
        }
        write.commit().await?;
        Ok(())
    }

    /// Takes over what the source says now, and says whether that has a key that was not known.
    /// Keys that it no longer has go on opening: a reader may have begun before a rotation ended.
    fn read_again(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        let read = self.source.read()?;
        let known = self.keys.load();
        let merged = known.behind(&read);
        let is_news = merged.len() > known.len();
        if is_news || merged.first().id() != known.first().id() {
            self.keys.store(Arc::new(merged));
        }
        Ok(is_news)
    }

    /// Opens what is sealed, and says whether all of it opened.
    fn open_all(&self, deployments: &mut [Deployment], last_known: &Catalogue) -> bool {
        let known = self.keys.load();
        let needs_more = deployments.iter().any(|deployment| {
            let mut keys = deployment
                .replicas
                .iter()
                .filter_map(|replica| replica.api_key.as_ref());
            keys.any(|key| super::parse(key).is_some_and(|(id, _)| known.find(id).is_none()))
        });
        if needs_more && let Err(error) = self.read_again() {
            tracing::error!(error = %chain(&*error), "the master key cannot be read again");
        }
        let keys = self.keys.load();
        let mut all_opened = true;
        for deployment in deployments {
            let before = last_known.deployment(&deployment.name);
            for (position, replica) in deployment.replicas.iter_mut().enumerate() {
                let Some(sealed) = replica.api_key.as_ref().filter(|key| is_sealed(key)) else {
                    continue;
                };
                let owner = Owner {
                    deployment: &deployment.name,
                    url: replica.url.as_deref(),
                };
                let error = match open(&keys, owner, sealed) {
                    Ok(key) => {
                        replica.api_key = Some(key);
                        continue;
                    }
                    Err(error) => error,
                };
                all_opened = false;
                // A rotation that this process was not told of must not take away what it has.
                let kept = before
                    .and_then(|before| before.replicas.get(position))
                    .filter(|before| before.url == replica.url)
                    .and_then(|before| before.api_key.clone())
                    .filter(|key| !is_sealed(key) && matches!(error, OpenError::UnknownKey(_)));
                report(&deployment.name, position, &error, kept.is_some());
                if kept.is_some() {
                    replica.api_key = kept;
                }
            }
        }
        all_opened
    }
}

/// What [`reseal_upstream_keys`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// The keys that are sealed anew.
    pub keys: usize,
    /// The replicas whose key opened with none of the master keys, and stays as it is.
    pub unopened: Vec<String>,
}

/// Seals all stored upstream keys with the first of the master keys, in one transaction. Running
/// servers follow within a second.
///
/// # Errors
/// [`PlatformError::Storage`] or [`PlatformError::Random`]; nothing has changed then, unless the
/// commit itself failed.
pub async fn reseal_upstream_keys(storage: &Storage, keys: &MasterKeys) -> Result<Resealed, PlatformError> {
    let write = storage.begin(Scope::Catalogue).await?;
    let mut done = Resealed::default();
    for mut deployment in deployments::list(&write).await? {
        let before = done.keys;
        for (position, replica) in deployment.replicas.iter_mut().enumerate() {
            let Some(stored) = &replica.api_key else { continue };
            let owner = Owner {
                deployment: &deployment.name,
                url: replica.url.as_deref(),
            };
            let opened = if is_sealed(stored) {
                open(keys, owner, stored)
            } else {
                Ok(stored.clone())
            };
            match opened {
                Ok(key) => {
                    replica.api_key = Some(seal(keys, owner, &key)?);
                    done.keys += 1;
                }
                Err(error) => done
                    .unopened
                    .push(format!("{}, replicas[{position}]: {error}", deployment.name)),
            }
        }
        if done.keys > before {
            deployments::replace_replicas(&write, &deployment.name, &deployment.replicas).await?;
        }
    }
    write.commit().await?;
    Ok(done)
}

/// Seals every key of a deployment that is not sealed.
fn seal_all(keys: &MasterKeys, deployment: &mut Deployment) -> Result<(), PlatformError> {
    for replica in &mut deployment.replicas {
        let owner = Owner {
            deployment: &deployment.name,
            url: replica.url.as_deref(),
        };
        if let Some(key) = replica.api_key.as_ref().filter(|key| !is_sealed(key)) {
            replica.api_key = Some(seal(keys, owner, key)?);
        }
    }
    Ok(())
}

fn has_clear_key(deployment: &Deployment) -> bool {
    let mut keys = deployment
        .replicas
        .iter()
        .filter_map(|replica| replica.api_key.as_ref());
    keys.any(|key| !is_sealed(key))
}

fn report(deployment: &str, position: usize, error: &OpenError, goes_on: bool) {
    if goes_on {
        tracing::warn!(
            deployment.name = %deployment,
            replica = position,
            %error,
            "the stored key of deployment {deployment}, replicas[{position}], cannot be opened; \
             going on with the key that is in memory until the next start"
        );
    } else {
        tracing::error!(
            deployment.name = %deployment,
            replica = position,
            %error,
            "the stored key of deployment {deployment}, replicas[{position}], cannot be opened; the \
             replica is not ready until its master key is back or the deployment is put again with its api_key"
        );
    }
}
