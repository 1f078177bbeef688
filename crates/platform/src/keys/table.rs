//! The table of keys in memory: from the hash of a key to the account that it opens.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use silica_billing::{KeyLimits, UsageLevel};
use silica_storage::{Account, AccountStatus, ApiKey, KeyHash, KeyStatus};
use silica_types::{AccountId, ApiKeyId};
use subtle::ConstantTimeEq;

use crate::{AuthError, Caller, level_in_force};

/// Readers of different keys meet at a lock in one of so many cases; a power of two.
const SHARDS: usize = 32;

/// Every key that may open an account, sharded by its hash.
///
/// Rows are applied with the number of the change that wrote them, and an older number never
/// replaces a newer one: a poll that read a row just before this process changed it does no harm.
pub(crate) struct KeyTable {
    shards: [RwLock<HashMap<KeyHash, Entry>>; SHARDS],
    accounts: Mutex<HashMap<AccountId, Arc<AccountState>>>,
}

/// What a call needs to know of an account, shared by all its keys.
/// Changes with the account while calls hold it.
#[derive(Debug, Default)]
pub(crate) struct AccountState {
    disabled: AtomicBool,
    /// The index of the level in [`UsageLevel::ALL`].
    level: AtomicUsize,
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

    /// Whom the account belongs to now.
    pub(crate) fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Entry {
    hash: KeyHash,
    key: ApiKeyId,
    account_id: AccountId,
    account: Arc<AccountState>,
    status: KeyStatus,
    limits: Option<Arc<KeyLimits>>,
    expires_at: Option<Timestamp>,
    revision: i64,
}

impl KeyTable {
    /// Makes an empty table.
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            accounts: Mutex::default(),
        }
    }

    /// Finds the account that a key opens at the time `now` for a client at `address`; `None` when
    /// the key is unknown. A key with an address list opens nothing for a client of unknown address.
    ///
    /// The search goes by the SHA-256 of the key, so its timing tells nothing that helps to guess
    /// a key. The comparison below takes the same time for an unknown key, which meets zeros.
    pub(crate) fn open(
        &self,
        hash: &KeyHash,
        now: Timestamp,
        address: Option<IpAddr>,
    ) -> Result<Option<Caller>, AuthError> {
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let found = shard.get(hash);
        let stored = found.map_or(&[0_u8; 32], |entry| &entry.hash.0);
        let equal = bool::from(stored.ct_eq(&hash.0));
        let Some(entry) = found.filter(|_| equal) else {
            return Ok(None);
        };
        let expired = entry.expires_at.is_some_and(|end| end <= now);
        if entry.status != KeyStatus::Normal || expired {
            return Err(AuthError::Invalid);
        }
        if entry.account.disabled.load(Ordering::Acquire) {
            return Err(AuthError::AccountDisabled);
        }
        if let Some(limits) = &entry.limits
            && !address.map_or(limits.addresses.is_empty(), |address| {
                limits.allows_address(address)
            })
        {
            return Err(AuthError::AddressNotAllowed);
        }
        Ok(Some(Caller {
            account: entry.account_id,
            key: entry.key,
            limits: entry.limits.clone(),
            state: Arc::clone(&entry.account),
        }))
    }

    /// Takes over an account as the change `revision` left it.
    pub(crate) fn apply_account(&self, revision: i64, account: &Account) {
        let disabled = account.status == AccountStatus::Disabled;
        let level = level_in_force(account);
        let profile = Arc::new(Profile {
            name: account.name.clone(),
            email: account.email.clone(),
        });
        self.set_account(revision, account.id, |state| {
            state.disabled.store(disabled, Ordering::Release);
            let index = UsageLevel::ALL.iter().position(|known| *known == level);
            state.level.store(index.unwrap_or(0), Ordering::Release);
            *state.profile.lock().unwrap_or_else(PoisonError::into_inner) = profile;
        });
    }

    /// Disables an account that the change `revision` left in a state that cannot be read.
    pub(crate) fn disable_account(&self, revision: i64, id: AccountId) {
        self.set_account(revision, id, |state| {
            state.disabled.store(true, Ordering::Release);
        });
    }

    fn set_account(&self, revision: i64, id: AccountId, change: impl FnOnce(&AccountState)) {
        let state = self.account_state(id);
        let mut newest = state.revision.lock().unwrap_or_else(PoisonError::into_inner);
        if revision >= *newest {
            *newest = revision;
            change(&state);
        }
    }

    /// Takes over a key as the change `revision` left it. A deleted key stays as an entry that
    /// opens nothing, so that a late older row cannot bring it back.
    pub(crate) fn apply_key(&self, revision: i64, key: &ApiKey) {
        let entry = Entry {
            hash: key.hash,
            key: key.id,
            account_id: key.account,
            account: self.account_state(key.account),
            status: key.status,
            limits: key.limits.clone().map(Arc::new),
            expires_at: key.expires_at,
            revision,
        };
        let mut shard = self
            .shard(&key.hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if shard
            .get(&key.hash)
            .is_none_or(|stored| stored.revision <= revision)
        {
            shard.insert(key.hash, entry);
        }
    }

    /// Disables a key that the change `revision` left in a state that cannot be read. Looks at
    /// every key, since the hash may be what cannot be read.
    pub(crate) fn disable_key(&self, revision: i64, id: ApiKeyId) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            for entry in shard.values_mut() {
                if entry.key == id && entry.revision <= revision {
                    entry.status = KeyStatus::Disabled;
                    entry.revision = revision;
                }
            }
        }
    }

    fn account_state(&self, id: AccountId) -> Arc<AccountState> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(id).or_default())
    }

    fn shard(&self, hash: &KeyHash) -> &RwLock<HashMap<KeyHash, Entry>> {
        let [first, ..] = hash.0;
        &self.shards[usize::from(first) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use silica_types::ManualClock;

    use super::*;
    use crate::keys;

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::UNIX_EPOCH)
    }

    fn account(status: AccountStatus) -> Account {
        Account {
            id: AccountId::new(&clock()),
            email: "a@example.org".to_owned(),
            name: "A".to_owned(),
            status,
            verified: false,
            level_override: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn key(text: &str, account: &Account, status: KeyStatus) -> ApiKey {
        ApiKey {
            id: ApiKeyId::new(&clock()),
            account: account.id,
            hash: keys::hash(text),
            hint: String::new(),
            description: String::new(),
            status,
            limits: None,
            expires_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn open(table: &KeyTable, text: &str) -> Result<Caller, AuthError> {
        open_from(table, text, None)
    }

    fn open_from(table: &KeyTable, text: &str, address: Option<&str>) -> Result<Caller, AuthError> {
        let address = address.map(|text| text.parse().unwrap());
        let opened = table.open(&keys::hash(text), Timestamp::UNIX_EPOCH, address)?;
        opened.ok_or(AuthError::Invalid)
    }

    #[test]
    fn late_older_rows_do_not_bring_a_deleted_key_or_account_back() {
        let table = KeyTable::new();
        let account = account(AccountStatus::Normal);
        let normal = key("sk-a", &account, KeyStatus::Normal);
        table.apply_account(1, &account);
        table.apply_key(2, &normal);
        assert_eq!(open(&table, "sk-a").unwrap().key, normal.id);

        table.apply_key(
            5,
            &ApiKey {
                status: KeyStatus::Deleted,
                ..normal.clone()
            },
        );
        table.apply_key(2, &normal);
        assert_eq!(open(&table, "sk-a"), Err(AuthError::Invalid));

        let other = key("sk-b", &account, KeyStatus::Normal);
        table.apply_key(6, &other);
        table.apply_account(
            7,
            &Account {
                status: AccountStatus::Disabled,
                ..account.clone()
            },
        );
        table.apply_account(1, &account);
        assert_eq!(open(&table, "sk-b"), Err(AuthError::AccountDisabled));
    }

    #[test]
    fn keys_end_at_their_time() {
        let table = KeyTable::new();
        let account = account(AccountStatus::Normal);
        let end = Timestamp::from_second(100).unwrap();
        table.apply_key(
            1,
            &ApiKey {
                expires_at: Some(end),
                ..key("sk-a", &account, KeyStatus::Normal)
            },
        );
        let at = |second| table.open(&keys::hash("sk-a"), Timestamp::from_second(second).unwrap(), None);
        assert!(at(99).unwrap().is_some());
        assert_eq!(at(100), Err(AuthError::Invalid));
    }

    #[test]
    fn keys_with_an_address_list_open_from_there_only() {
        let table = KeyTable::new();
        let account = account(AccountStatus::Normal);
        let limits = |addresses: &[&str]| KeyLimits {
            addresses: addresses.iter().map(|network| network.parse().unwrap()).collect(),
            ..KeyLimits::default()
        };
        for (text, limits) in [
            ("sk-a", limits(&["10.0.0.0/8", "2001:db8::7/128"])),
            ("sk-b", limits(&[])),
        ] {
            let limited = ApiKey {
                limits: Some(limits),
                ..key(text, &account, KeyStatus::Normal)
            };
            table.apply_key(1, &limited);
        }
        for address in ["10.255.0.1", "::ffff:10.0.0.1", "2001:db8::7"] {
            assert!(open_from(&table, "sk-a", Some(address)).is_ok(), "{address}");
        }
        for address in [
            Some("11.0.0.1"),
            Some("::ffff:11.0.0.1"),
            Some("2001:db8::8"),
            Some("::1"),
            None,
        ] {
            assert_eq!(
                open_from(&table, "sk-a", address),
                Err(AuthError::AddressNotAllowed),
                "{address:?}"
            );
        }
        assert!(open_from(&table, "sk-b", None).is_ok());
    }

    #[test]
    fn callers_follow_the_level_of_their_account() {
        let table = KeyTable::new();
        let account = account(AccountStatus::Normal);
        table.apply_key(1, &key("sk-a", &account, KeyStatus::Normal));
        let caller = open(&table, "sk-a").unwrap();
        assert_eq!(caller.state.level(), UsageLevel::L0);
        let raised = Account {
            level_override: Some(UsageLevel::L4),
            ..account.clone()
        };
        table.apply_account(3, &raised);
        table.apply_account(2, &account);
        assert_eq!(caller.state.level(), UsageLevel::L4);
        table.disable_account(4, account.id);
        assert_eq!(
            caller.state.level(),
            UsageLevel::L4,
            "an unreadable row changes no level"
        );
    }

    proptest! {
        #[test]
        fn mutated_keys_open_nothing(
            position in 0_usize..51,
            replacement in any::<char>(),
            cut in 0_usize..51,
            tail in ".{1,8}",
        ) {
            let table = KeyTable::new();
            let account = account(AccountStatus::Normal);
            let secret = keys::generate().unwrap();
            let text = secret.expose();
            table.apply_key(1, &key(text, &account, KeyStatus::Normal));
            prop_assert!(open(&table, text).is_ok());

            let replaced: String = text
                .chars()
                .enumerate()
                .map(|(index, letter)| if index == position { replacement } else { letter })
                .collect();
            if replaced != text {
                prop_assert_eq!(open(&table, &replaced), Err(AuthError::Invalid));
            }
            prop_assert_eq!(open(&table, &text[..cut]), Err(AuthError::Invalid));
            prop_assert_eq!(open(&table, &format!("{text}{tail}")), Err(AuthError::Invalid));
            prop_assert_eq!(open(&table, &format!("{tail}{text}")), Err(AuthError::Invalid));
            prop_assert_eq!(open(&table, &text.to_uppercase()), Err(AuthError::Invalid));
        }
    }
}
