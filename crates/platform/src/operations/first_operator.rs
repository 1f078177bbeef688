//! The first account and its first key, made by the first start of a server.

use std::io;

use silica_billing::Monthly;
use silica_storage::{Account, AccountStatus, ApiKey, KeyStatus, Scope, accounts, api_keys};
use silica_types::{AccountId, ApiKeyId, Secret};

use super::accounts::NewAccount;
use crate::{Platform, PlatformError, keys, validate};

/// Why there is no first operator.
#[derive(Debug, thiserror::Error)]
pub enum FirstOperatorError {
    /// The account or the key was refused, or the database failed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The key could not be handed to its owner, so it was not made.
    #[error("the first API key cannot be shown")]
    Show(#[source] io::Error),
}

impl Platform {
    /// Makes the first account and its first key in one write, unless there is an account already.
    ///
    /// `show` hands the key to its owner, and runs before anything is kept: an interruption leaves
    /// at worst a key that was shown and does not work, and the next start makes another one. The
    /// other order could keep an account whose only key nobody has seen.
    ///
    /// Returns `None`, without a call of `show`, when there is an account.
    ///
    /// # Errors
    /// See [`FirstOperatorError`]; nothing is kept then.
    pub async fn create_first_operator(
        &self,
        new: NewAccount,
        key_description: &str,
        show: impl FnOnce(&Secret) -> io::Result<()>,
    ) -> Result<Option<AccountId>, FirstOperatorError> {
        let key = keys::generate().map_err(PlatformError::Random)?;
        let (account, record) = self.first_records(&new, key_description, &key)?;
        let _in_order = self.shared.operations.lock().await;
        // A write locks out those of other processes, so only one of them finds no account.
        let write = self
            .shared
            .storage
            .begin(Scope::Accounts)
            .await
            .map_err(PlatformError::from)?;
        let existing = accounts::list(&write, None, 1)
            .await
            .map_err(PlatformError::from)?;
        if !existing.rows.is_empty() {
            return Ok(None);
        }
        accounts::insert(&write, &account)
            .await
            .map_err(PlatformError::from)?;
        api_keys::insert(&write, &record)
            .await
            .map_err(PlatformError::from)?;
        show(&key).map_err(FirstOperatorError::Show)?;
        let revision = write.commit().await.map_err(PlatformError::from)?;
        self.shared.keys.apply_account(revision, &account);
        self.shared.keys.apply_key(revision, &record);
        tracing::info!(account.id = %account.id, key.id = %record.id, revision, "account {} made", account.id);
        Ok(Some(account.id))
    }

    fn first_records(
        &self,
        new: &NewAccount,
        key_description: &str,
        key: &Secret,
    ) -> Result<(Account, ApiKey), PlatformError> {
        let (now, clock) = (self.now(), self.shared.clock.as_ref());
        let account = Account {
            id: AccountId::new(clock),
            email: validate::email(&new.email)?,
            name: validate::display_name("name", &new.name)?,
            status: AccountStatus::Normal,
            verified: false,
            level_override: None,
            spent: Monthly::default(),
            bought: Monthly::default(),
            created_at: now,
            updated_at: now,
        };
        let record = ApiKey {
            id: ApiKeyId::new(clock),
            account: account.id,
            hash: keys::hash(key.expose()),
            hint: keys::hint(key),
            description: validate::description(key_description)?,
            status: KeyStatus::Normal,
            limits: None,
            expires_at: None,
            created_at: now,
            updated_at: now,
        };
        Ok((account, record))
    }
}
