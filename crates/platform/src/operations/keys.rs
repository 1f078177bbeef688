//! API keys.

use jiff::Timestamp;
use silica_billing::KeyLimits;
use silica_storage::{ApiKey, KeyStatus, Page, Scope, Source, api_keys};
use silica_types::{AccountId, ApiKeyId, Secret};

use super::accounts::must_exist as account_must_exist;
use crate::validate::{self, invalid};
use crate::{Platform, PlatformError, keys};

/// What is given to make a key.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// What the key is for.
    pub description: String,
    /// Limits of the key below those of its account.
    pub limits: Option<KeyLimits>,
    /// When it stops working; `None` means never.
    pub expires_at: Option<Timestamp>,
}

/// What to change of a key; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyChanges {
    /// What the key is for.
    pub description: Option<String>,
    /// Whether it works. [`KeyStatus::Deleted`] is refused: see [`Platform::delete_key`].
    pub status: Option<KeyStatus>,
    /// Limits of the key; `Some(None)` removes them.
    pub limits: Option<Option<KeyLimits>>,
    /// When it stops working; `Some(None)` means never.
    pub expires_at: Option<Option<Timestamp>>,
}

/// A new key, with the only copy of its text.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// The key's record.
    pub record: ApiKey,
    /// The key itself. Show it once and forget it.
    pub key: Secret,
}

impl Platform {
    /// Makes a key for an account. Works at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown account, [`PlatformError::Invalid`],
    /// [`PlatformError::Storage`] or [`PlatformError::Random`].
    pub async fn create_key(&self, account: AccountId, new: NewKey) -> Result<CreatedKey, PlatformError> {
        let key = keys::generate().map_err(PlatformError::Random)?;
        let now = self.now();
        let record = ApiKey {
            id: ApiKeyId::new(self.shared.clock.as_ref()),
            account,
            hash: keys::hash(key.expose()),
            hint: keys::hint(&key),
            description: validate::description(&new.description)?,
            status: KeyStatus::Normal,
            limits: new.limits.map(validate::key_limits).transpose()?.flatten(),
            expires_at: new
                .expires_at
                .map(|end| validate::whole_microseconds("expires_at", end))
                .transpose()?,
            created_at: now,
            updated_at: now,
        };
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Accounts).await?;
        account_must_exist(&write, account).await?;
        api_keys::insert(&write, &record).await?;
        let revision = write.commit().await?;
        self.shared.keys.apply_key(revision, &record);
        tracing::info!(account.id = %account, key.id = %record.id, revision, "key {} made", record.id);
        Ok(CreatedKey { record, key })
    }

    /// Changes a key and returns it as it is then. In force at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`], [`PlatformError::Invalid`] or [`PlatformError::Storage`].
    pub async fn update_key(
        &self,
        account: AccountId,
        id: ApiKeyId,
        changes: KeyChanges,
    ) -> Result<ApiKey, PlatformError> {
        if changes.status == Some(KeyStatus::Deleted) {
            return Err(invalid("status", "a key is deleted by DELETE, not by its status"));
        }
        let description = changes
            .description
            .as_deref()
            .map(validate::description)
            .transpose()?;
        let limits = changes
            .limits
            .map(|limits| limits.map(validate::key_limits).transpose())
            .transpose()?
            .map(Option::flatten);
        let expires_at = changes
            .expires_at
            .map(|end| {
                end.map(|end| validate::whole_microseconds("expires_at", end))
                    .transpose()
            })
            .transpose()?;
        self.change_key(account, id, |key| {
            key.description = description.unwrap_or_else(|| key.description.clone());
            key.status = changes.status.unwrap_or(key.status);
            key.limits = limits.unwrap_or_else(|| key.limits.take());
            key.expires_at = expires_at.unwrap_or(key.expires_at);
        })
        .await
    }

    /// Deletes a key for good. In force at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] or [`PlatformError::Storage`].
    pub async fn delete_key(&self, account: AccountId, id: ApiKeyId) -> Result<(), PlatformError> {
        self.change_key(account, id, |key| key.status = KeyStatus::Deleted)
            .await
            .map(drop)
    }

    /// Looks up a key of an account, unless it was deleted.
    ///
    /// # Errors
    /// [`PlatformError::Storage`].
    pub async fn key(&self, account: AccountId, id: ApiKeyId) -> Result<Option<ApiKey>, PlatformError> {
        Ok(api_keys::find(&self.shared.storage, account, id).await?)
    }

    /// Lists at most `limit` keys of an account after `cursor`, oldest first, without the deleted ones.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown account, or [`PlatformError::Storage`].
    pub async fn keys(
        &self,
        account: AccountId,
        cursor: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Page<ApiKey, ApiKeyId>, PlatformError> {
        account_must_exist(&self.shared.storage, account).await?;
        Ok(api_keys::list(&self.shared.storage, account, cursor, limit).await?)
    }

    async fn change_key(
        &self,
        account: AccountId,
        id: ApiKeyId,
        change: impl FnOnce(&mut ApiKey),
    ) -> Result<ApiKey, PlatformError> {
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Accounts).await?;
        let mut key = must_exist(&write, account, id).await?;
        change(&mut key);
        key.updated_at = self.now();
        api_keys::update(&write, &key).await?;
        let revision = write.commit().await?;
        self.shared.keys.apply_key(revision, &key);
        tracing::info!(account.id = %account, key.id = %id, key.status = %key.status, revision, "key {id} changed");
        Ok(key)
    }
}

async fn must_exist(source: &impl Source, account: AccountId, id: ApiKeyId) -> Result<ApiKey, PlatformError> {
    let key = api_keys::find(source, account, id).await?;
    key.ok_or_else(|| PlatformError::NotFound {
        what: "key",
        id: id.to_string(),
    })
}
