//! What is known in memory of one account.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use silica_billing::{LevelSources, UsageLevel};

/// What a call needs to know of an account, shared by all its keys.
/// Changes with the account while calls hold it.
#[derive(Debug, Default)]
pub(crate) struct AccountState {
    disabled: AtomicBool,
    /// The index of the level in [`UsageLevel::ALL`].
    level: AtomicUsize,
    /// What the level comes from. Whoever changes it sets the level before he lets go of it.
    sources: Mutex<LevelSources>,
    profile: Mutex<Arc<Profile>>,
    revision: Mutex<i64>,
}

/// Whom an account belongs to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The display name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

/// Leaves out what must not reach a log.
impl fmt::Debug for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Profile").finish_non_exhaustive()
    }
}

impl AccountState {
    /// The usage level that is in force now.
    pub(crate) fn level(&self) -> UsageLevel {
        let index = self.level.load(Ordering::Acquire);
        UsageLevel::ALL.get(index).copied().unwrap_or(UsageLevel::L0)
    }

    /// Changes what the level comes from, and the level with it.
    pub(super) fn change_sources(&self, month: &AtomicI32, change: impl FnOnce(&mut LevelSources)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        // Read under the lock: when the month turns meanwhile, whoever turns it comes here afterwards.
        let level = sources.level(month.load(Ordering::Acquire));
        let index = UsageLevel::ALL.iter().position(|known| *known == level);
        self.level.store(index.unwrap_or(0), Ordering::Release);
    }

    /// Takes over what the change `revision` says, unless a later one was taken over before.
    pub(super) fn change(&self, revision: i64, change: impl FnOnce()) {
        let mut newest = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        if revision >= *newest {
            *newest = revision;
            change();
        }
    }

    pub(super) fn disable(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Release);
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire)
    }

    pub(super) fn set_profile(&self, profile: Arc<Profile>) {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner) = profile;
    }

    /// Whom the account belongs to now.
    pub(crate) fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
