//! The table of keys in memory: from the hash of a key to the account that it opens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use silica_storage::{Account, AccountStatus, ApiKey, KeyHash, KeyStatus};
use silica_types::{AccountId, ApiKeyId};
use subtle::ConstantTimeEq;

use crate::{AuthError, Caller};

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
#[derive(Default)]
struct AccountState {
    disabled: AtomicBool,
    revision: Mutex<i64>,
}

struct Entry {
    hash: KeyHash,
    key: ApiKeyId,
    account_id: AccountId,
    account: Arc<AccountState>,
    status: KeyStatus,
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

    /// Finds the account that a key opens at the time `now`.
    ///
    /// The search goes by the SHA-256 of the key, so its timing tells nothing that helps to guess
    /// a key. The comparison below takes the same time for an unknown key, which meets zeros.
    pub(crate) fn open(&self, hash: &KeyHash, now: Timestamp) -> Result<Caller, AuthError> {
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let found = shard.get(hash);
        let stored = found.map_or(&[0_u8; 32], |entry| &entry.hash.0);
        let equal = bool::from(stored.ct_eq(&hash.0));
        let entry = found.filter(|_| equal).ok_or(AuthError::Invalid)?;
        let expired = entry.expires_at.is_some_and(|end| end <= now);
        if entry.status != KeyStatus::Normal || expired {
            return Err(AuthError::Invalid);
        }
        if entry.account.disabled.load(Ordering::Acquire) {
            return Err(AuthError::AccountDisabled);
        }
        Ok(Caller {
            account: entry.account_id,
            key: entry.key,
        })
    }

    /// Takes over an account as the change `revision` left it.
    pub(crate) fn apply_account(&self, revision: i64, account: &Account) {
        self.set_account(revision, account.id, account.status == AccountStatus::Disabled);
    }

    /// Disables an account that the change `revision` left in a state that cannot be read.
    pub(crate) fn disable_account(&self, revision: i64, id: AccountId) {
        self.set_account(revision, id, true);
    }

    fn set_account(&self, revision: i64, id: AccountId, disabled: bool) {
        let state = self.account_state(id);
        let mut newest = state.revision.lock().unwrap_or_else(PoisonError::into_inner);
        if revision >= *newest {
            *newest = revision;
            state.disabled.store(disabled, Ordering::Release);
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
        table.open(&keys::hash(text), Timestamp::UNIX_EPOCH)
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
        let at = |second| table.open(&keys::hash("sk-a"), Timestamp::from_second(second).unwrap());
        assert!(at(99).is_ok());
        assert_eq!(at(100), Err(AuthError::Invalid));
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
