//! [`Platform`]: the state in memory that calls read, in front of the storage that changes write.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use silica_billing::{BillingDay, Bucket, KeyLimits, UsageLevel, Wallets};
use silica_storage::Storage;
use silica_types::{AccountId, ApiKeyId, SharedClock};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::cluster::{Book, ClusterSettings};
use crate::keys::{self, AccountState, KeyTable, Lookups};
use crate::refresh::Unreadable;
use crate::sealing::{MasterKey, MasterKeySource, MasterKeys, Vault};
use crate::{AuthError, Catalogue, PlatformError, Profile};

/// The zone of bills by default. China has kept no summer time since 1991, so the offset will do.
const SHANGHAI: Offset = Offset::constant(8);

/// How long the voucher of a level package is good by default, in days (contract platform.md 1.6).
const LEVEL_PACKAGE_DAYS: u16 = 31;

/// Bills and ledgers that are read at once.
const READERS: usize = 4;

/// Who makes a call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account that is limited and billed.
    pub account: AccountId,
    /// The key that opened it.
    pub key: ApiKeyId,
    /// What the key may do less than its account; `None` when it has no limits of its own.
    pub limits: Option<Arc<KeyLimits>>,
    /// What else a call needs to know of the account; follows its changes.
    pub(crate) state: Arc<AccountState>,
}

impl Caller {
    /// Makes a caller that no key was asked for: an account at its lowest level, without limits.
    pub fn new(account: AccountId, key: ApiKeyId) -> Self {
        Self {
            account,
            key,
            limits: None,
            state: Arc::default(),
        }
    }

    /// Whom the account belongs to, as it is now.
    pub fn profile(&self) -> Arc<Profile> {
        self.state.profile()
    }
}

/// Callers are the same when account, key and limits are; the account's state is not compared.
impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        (self.account, self.key, &self.limits) == (other.account, other.key, &other.limits)
    }
}

impl Eq for Caller {}

/// What a platform is made with.
#[derive(Debug)]
pub struct PlatformOptions {
    /// Where the days and months of bills begin at midnight; Shanghai unless it is set.
    pub zone: TimeZone,
    /// How long the voucher of a level package is good, in days; 31 unless it is set.
    pub level_package_days: u16,
    /// Seals upstream keys.
    pub master_keys: Arc<dyn MasterKeySource>,
    /// How the node counts together with others; `None` on a node that is alone.
    pub cluster: Option<ClusterSettings>,
}

impl PlatformOptions {
    /// The defaults, with these master keys.
    pub fn new(master_keys: Arc<dyn MasterKeySource>) -> Self {
        Self {
            zone: TimeZone::fixed(SHANGHAI),
            level_package_days: LEVEL_PACKAGE_DAYS,
            master_keys,
            cluster: None,
        }
    }
}

/// Accounts, keys, catalogue and deployments of one process. Cheap to clone: clones share everything.
///
/// Reads are in memory. Changes are validated, written in one transaction and then shown in memory
/// before the operation returns; other processes see them by [`Platform::refresh_loop`].
#[derive(Clone)]
pub struct Platform {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) storage: Storage,
    /// The way of deployments to and from the storage.
    pub(crate) vault: Vault,
    pub(crate) clock: SharedClock,
    /// Where days begin for bills.
    pub(crate) zone: TimeZone,
    /// How long the vouchers of level packages are good, in days.
    pub(crate) level_package_days: u16,
    pub(crate) keys: KeyTable,
    pub(crate) wallets: Wallets,
    /// What is counted together with other nodes.
    pub(crate) book: Option<Book>,
    /// Wakes the refresh loop: another node has changed something.
    pub(crate) news: Notify,
    pub(crate) lookups: Lookups,
    catalogue: ArcSwap<Catalogue>,
    catalogue_state: Mutex<CatalogueState>,
    generation: watch::Sender<u64>,
    /// The number of the last change of accounts and keys that a poll has read.
    pub(crate) seen: AtomicI64,
    /// Keeps changes of this process in the order of their commits until they are shown in memory.
    /// Only operators' changes take it; no call does.
    pub(crate) operations: tokio::sync::Mutex<()>,
    /// Places for reading bills and ledgers, so that they leave connections to everybody else.
    pub(crate) readers: Arc<Semaphore>,
    /// Readings of bills and ledgers, which may go on for a while after nobody waits for them.
    pub(crate) readings: TaskTracker,
}

/// Which changes the catalogue in memory shows.
#[derive(Clone, Copy, Default)]
struct CatalogueState {
    /// The number of the last change when all of it was last read from storage.
    loaded: i64,
    /// The number of the last change that this process made and showed by itself.
    applied: i64,
}

impl Platform {
    /// Opens a platform whose days and months of bills are those of Shanghai, and whose master key
    /// is forgotten at its end: upstream keys that it stores are lost then. For tests and tools.
    ///
    /// # Errors
    /// As [`Platform::open_with`].
    pub async fn open(storage: Storage, clock: SharedClock) -> Result<Self, PlatformError> {
        let options = PlatformOptions::new(Arc::new(MasterKeys::from(MasterKey::random()?)));
        Self::open_with(storage, clock, options).await
    }

    /// Seals what an earlier version stored in clear, and reads everything that calls need into
    /// memory.
    ///
    /// # Errors
    /// [`PlatformError::Storage`] when the database fails or holds something unreadable,
    /// [`PlatformError::MasterKey`], or [`PlatformError::Random`]. An upstream key that does not open
    /// is not one: see [`crate::unopened_key`].
    pub async fn open_with(
        storage: Storage,
        clock: SharedClock,
        options: PlatformOptions,
    ) -> Result<Self, PlatformError> {
        let vault = Vault::new(options.master_keys)?;
        vault.seal_clear_keys(&storage).await?;
        let wallets = Wallets::new();
        let book = options
            .cluster
            .map(|settings| Book::new(settings, wallets.clone()));
        let shared = Shared {
            storage,
            vault,
            clock,
            zone: options.zone,
            level_package_days: options.level_package_days,
            keys: KeyTable::new(),
            wallets,
            book,
            news: Notify::new(),
            lookups: Lookups::default(),
            catalogue: ArcSwap::default(),
            catalogue_state: Mutex::default(),
            generation: watch::Sender::new(0),
            seen: AtomicI64::new(0),
            operations: tokio::sync::Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS)),
            readings: TaskTracker::new(),
        };
        let platform = Self {
            shared: Arc::new(shared),
        };
        platform.refresh(Unreadable::Fail).await?;
        Ok(platform)
    }

    /// Finds out who presents a key, from what is in memory. A key with an address list is refused;
    /// see [`Platform::identify`].
    ///
    /// # Errors
    /// [`AuthError`]: see its variants.
    pub fn authenticate(&self, presented_key: &str) -> Result<Caller, AuthError> {
        self.open_account(presented_key, None)?.ok_or(AuthError::Invalid)
    }

    /// Finds out who presents a key at `address`; `None` when the address is not known, which
    /// keys with an address list do not take.
    ///
    /// A known key is judged in memory, whatever the database does. For an unknown one the
    /// database is asked, within half a second and at a bounded rate: another process may have
    /// made it a moment ago.
    ///
    /// # Errors
    /// [`AuthError`]: see its variants.
    pub async fn identify(&self, presented_key: &str, address: Option<IpAddr>) -> Result<Caller, AuthError> {
        if let Some(caller) = self.open_account(presented_key, address)? {
            return Ok(caller);
        }
        // Boxed: it is large, and every request would carry the room for it.
        Box::pin(self.look_again()).await;
        self.open_account(presented_key, address)?
            .ok_or(AuthError::Invalid)
    }

    /// The usage level of a caller's account as it is now.
    pub fn level_of(&self, caller: &Caller) -> UsageLevel {
        caller.state.level()
    }

    fn open_account(
        &self,
        presented_key: &str,
        address: Option<IpAddr>,
    ) -> Result<Option<Caller>, AuthError> {
        if presented_key.is_empty() {
            return Err(AuthError::Missing);
        }
        let now = self.shared.clock.now();
        self.shared.keys.open(&keys::hash(presented_key), now, address)
    }

    /// What every account has to spend, as calls and credits of this process and the last look at
    /// the database leave it.
    pub fn wallets(&self) -> &Wallets {
        &self.shared.wallets
    }

    /// Takes over buckets as the database has them.
    pub(crate) fn show_buckets(&self, buckets: &[Bucket]) {
        match &self.shared.book {
            Some(book) => book.take_over(buckets),
            None => buckets
                .iter()
                .for_each(|bucket| self.shared.wallets.install(bucket)),
        }
    }

    /// As [`Platform::show_buckets`]; returns when every node can spend what has come.
    pub(crate) async fn show_buckets_now(&self, buckets: &[Bucket]) {
        match &self.shared.book {
            Some(book) => book.take_over_now(buckets).await,
            None => self.show_buckets(buckets),
        }
    }

    /// Waits until this node counts together with the others; a node that is alone does not wait.
    pub async fn joined(&self) {
        if let Some(book) = &self.shared.book {
            book.joined().await;
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    /// What is counted together with other nodes; `None` on a node that is alone.
    pub(crate) fn book(&self) -> Option<&Book> {
        self.shared.book.as_ref()
    }

    /// Returns the current catalogue.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.load_full()
    }

    /// Watches the catalogue: the number grows with each change that is visible in [`Platform::catalogue`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// The current calendar month, `yyyymm`, in the zone of bills.
    pub(crate) fn month(&self) -> i32 {
        BillingDay::of(self.shared.clock.now(), &self.shared.zone).month()
    }

    /// Lets the levels in force follow the calendar. Cheap unless the month has changed.
    pub(crate) fn turn_month(&self) {
        self.shared.keys.turn_month(self.month());
    }

    /// Returns the current time as records hold it: whole microseconds, as the database keeps them.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.shared.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

impl Shared {
    /// Says whether storage has catalogue changes that were not read as a whole yet.
    pub(crate) fn catalogue_is_behind(&self, revision: i64) -> bool {
        self.catalogue_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .loaded
            < revision
    }

    /// Shows a catalogue that was read as the change `revision` left it. One that is older than a
    /// change of this process is dropped; the next poll reads again.
    pub(crate) fn install_catalogue(&self, revision: i64, catalogue: Catalogue) {
        let mut state = self
            .catalogue_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if revision >= state.applied && revision >= state.loaded {
            state.loaded = revision;
            self.show(catalogue);
        }
    }

    /// Shows the change `revision` of this process, unless a poll was faster.
    pub(crate) fn apply_to_catalogue(&self, revision: i64, change: impl FnOnce(&Catalogue) -> Catalogue) {
        let mut state = self
            .catalogue_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if revision > state.loaded {
            state.applied = state.applied.max(revision);
            self.show(change(&self.catalogue.load()));
        }
    }

    fn show(&self, catalogue: Catalogue) {
        if !self.catalogue.load().same_as(&catalogue) {
            self.catalogue.store(Arc::new(catalogue));
            self.generation.send_modify(|generation| *generation += 1);
        }
    }
}

/// Shows no rows: accounts and keys do not belong in logs.
impl fmt::Debug for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Platform")
            .field("storage", &self.shared.storage)
            .finish_non_exhaustive()
    }
}
