//! Accounts.

use silica_billing::{Monthly, UsageLevel};
use silica_storage::{Account, AccountStatus, Page, Scope, Source, accounts};
use silica_types::{AccountId, Money};

use crate::{Platform, PlatformError, validate};

/// What an operator gives to make an account.
#[derive(Clone)]
pub struct NewAccount {
    /// The e-mail address; kept in lower case.
    pub email: String,
    /// The display name.
    pub name: String,
}

/// Leaves out what must not reach a log.
impl std::fmt::Debug for NewAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewAccount").finish_non_exhaustive()
    }
}

/// What to change of an account; `None` leaves a field as it is.
#[derive(Clone, Default)]
pub struct AccountChanges {
    /// The display name.
    pub name: Option<String>,
    /// Whether the holder's real name was verified.
    pub verified: Option<bool>,
    /// Whether the account may call.
    pub status: Option<AccountStatus>,
    /// The level set by the operator; `Some(None)` hands it back to usage.
    pub level_override: Option<Option<UsageLevel>>,
}

impl Platform {
    /// Makes an account.
    ///
    /// # Errors
    /// [`PlatformError::Invalid`], [`PlatformError::Conflict`] when the address is taken, or
    /// [`PlatformError::Storage`].
    pub async fn create_account(&self, new: NewAccount) -> Result<Account, PlatformError> {
        let now = self.now();
        let account = Account {
            id: AccountId::new(self.shared.clock.as_ref()),
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
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Accounts).await?;
        accounts::insert(&write, &account).await?;
        let revision = write.commit().await?;
        self.shared.keys.apply_account(revision, &account);
        tracing::info!(account.id = %account.id, revision, "account {} made", account.id);
        Ok(account)
    }

    /// Changes an account and returns it as it is then. In force at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`], [`PlatformError::Invalid`] or [`PlatformError::Storage`].
    pub async fn update_account(
        &self,
        id: AccountId,
        changes: AccountChanges,
    ) -> Result<Account, PlatformError> {
        let name = changes
            .name
            .as_deref()
            .map(|name| validate::display_name("name", name))
            .transpose()?;
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Accounts).await?;
        let mut account = must_exist(&write, id).await?;
        account.name = name.unwrap_or(account.name);
        account.verified = changes.verified.unwrap_or(account.verified);
        account.status = changes.status.unwrap_or(account.status);
        account.level_override = changes.level_override.unwrap_or(account.level_override);
        account.updated_at = self.now();
        accounts::update(&write, &account).await?;
        let revision = write.commit().await?;
        self.shared.keys.apply_account(revision, &account);
        tracing::info!(account.id = %id, account.status = %account.status, revision, "account {id} changed");
        Ok(account)
    }

    /// The usage level of an account in this month: the operator's, else what it spent or bought.
    pub fn level_in_force(&self, account: &Account) -> UsageLevel {
        account.level_sources().level(self.month())
    }

    /// What an account spent in this calendar month and in the one before, as settled calls say.
    pub fn spent(&self, account: &Account) -> (Money, Money) {
        account.spent.both(self.month())
    }

    /// Looks an account up.
    ///
    /// # Errors
    /// [`PlatformError::Storage`].
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, PlatformError> {
        Ok(accounts::find(&self.shared.storage, id).await?)
    }

    /// Looks an account up by its e-mail address, whatever its case.
    ///
    /// # Errors
    /// [`PlatformError::Invalid`] when the text is no address, or [`PlatformError::Storage`].
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>, PlatformError> {
        Ok(accounts::find_by_email(&self.shared.storage, &validate::email(email)?).await?)
    }

    /// Lists at most `limit` accounts after `cursor`, oldest first.
    ///
    /// # Errors
    /// [`PlatformError::Storage`].
    pub async fn accounts(
        &self,
        cursor: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<Account, AccountId>, PlatformError> {
        Ok(accounts::list(&self.shared.storage, cursor, limit).await?)
    }
}

/// Looks up an account that the caller named.
pub(super) async fn must_exist(source: &impl Source, id: AccountId) -> Result<Account, PlatformError> {
    let account = accounts::find(source, id).await?;
    account.ok_or_else(|| PlatformError::NotFound {
        what: "account",
        id: id.to_string(),
    })
}
