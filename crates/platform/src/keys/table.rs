//! The table of keys in memory: from the hash of a key to the account that it opens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use silica_billing::{KeyLimits, LevelSources, Monthly};
use silica_storage::{Account, AccountStatus, ApiKey, KeyHash, KeyStatus};
use silica_types::{AccountId, ApiKeyId, Money};
use subtle::ConstantTimeEq;

use super::account::{AccountState, Profile};
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
    /// The calendar month (`yyyymm`) of the levels in force.
    month: AtomicI32,
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
            month: AtomicI32::new(0),
        }
    }

    /// Begins another calendar month, when it is one, with the levels that are in force in it.
    pub(crate) fn turn_month(&self, month: i32) {
        if self.month.swap(month, Ordering::AcqRel) == month {
            return;
        }
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = accounts.values().cloned().collect();
        // Not held longer: those who make keys wait for it.
        drop(accounts);
        for account in known {
            account.change_sources(&self.month, |_| {});
        }
    }

    /// Takes over what an account has spent. Of two readings the later counts, whichever comes first.
    pub(crate) fn apply_spending(&self, id: AccountId, spent: Monthly<Money>) {
        self.account_state(id)
            .change_sources(&self.month, |sources| sources.spent = sources.spent.later(spent));
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
        if entry.account.is_disabled() {
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
        let read = account.level_sources();
        let profile = Arc::new(Profile {
            name: account.name.clone(),
            email: account.email.clone(),
        });
        self.set_account(revision, account.id, |state| {
            state.disable(disabled);
            state.change_sources(&self.month, |sources| {
                let spent = sources.spent.later(read.spent);
                *sources = LevelSources { spent, ..read };
            });
            state.set_profile(profile);
        });
    }

    /// Disables an account that the change `revision` left in a state that cannot be read.
    pub(crate) fn disable_account(&self, revision: i64, id: AccountId) {
        self.set_account(revision, id, |state| {
            state.disable(true);
        });
    }

    fn set_account(&self, revision: i64, id: AccountId, change: impl FnOnce(&AccountState)) {
        let state = self.account_state(id);
        state.change(revision, || change(&state));
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
    use silica_billing::UsageLevel;
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
            spent: Monthly::default(),
            bought: Monthly::default(),
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
