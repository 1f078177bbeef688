//! Metering: what a call must pass before it runs, and how it is paid when it ends.
//!
//! [`Meter::begin`] counts the request, [`Entry::reserve`] takes the worst case from limits and
//! wallet, [`Reservation::settle`] books what was used. Everything here is in memory; the
//! journal carries settled calls to disk and [`Meter::apply_loop`] from there to the database.

mod applier;
mod calendar;
mod estimate;
mod request;
mod reservation;
mod stake;
mod upkeep;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use silica_billing::{
    CapReached, ClassTables, Insufficient, LimitCounters, LimitReached, MemoryCounters, Moment, Scope,
    SpendCaps, Standing, Subject,
};
use silica_journal::{Closed, Durability, Journal, JournalOptions};
use silica_types::SharedClock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::{Caller, CatalogueModel, Platform, PlatformError};
use calendar::Calendar;
use request::Request;

pub use estimate::{Estimate, Priced};
pub use reservation::{CallFacts, Reservation, Settled};

/// Disk space that a local meter's journal keeps in reserve and leaves to others, in bytes.
const LOCAL_RESERVE: u64 = 1 << 20;
/// The size of a local meter's journal, in bytes.
const LOCAL_SIZE: u64 = 1 << 30;
/// See [`MeterOptions::max_calls`].
const DEFAULT_CALLS: usize = 4096;

/// How a [`Meter`] measures.
#[derive(Debug)]
pub struct MeterOptions {
    /// The limits of the classes by usage level.
    pub tables: ClassTables,
    /// Calls that may run at once; more are refused. Bounds what the journal must still take when
    /// its disk is full.
    pub max_calls: usize,
    /// Days that single calls stay in the ledger; `None` keeps them for ever. Roll-ups stay anyway.
    pub retention_days: Option<u32>,
}

/// Admits and settles the calls of one process. Cheap to clone: clones share everything.
#[derive(Clone)]
pub struct Meter(Arc<Shared>);

struct Shared {
    platform: Platform,
    journal: Journal,
    counters: Arc<dyn LimitCounters>,
    caps: SpendCaps,
    tables: ClassTables,
    calendar: Calendar,
    clock: SharedClock,
    started: Instant,
    places: Arc<Semaphore>,
    retention_days: Option<u32>,
    /// Held by whoever applies: a batch must not be shown twice.
    applying: tokio::sync::Mutex<()>,
}

/// Why a call is not admitted. Nothing was charged and no engine was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Settled calls could not be kept now, so none is begun.
    #[error("the usage journal takes no calls")]
    Journal(#[source] Closed),
    /// As many calls run as may.
    #[error("too many calls are running")]
    Busy,
    /// What all nodes count together is out of reach, and this node may not go on alone.
    #[error("limits and balances cannot be asked for")]
    NoCounters,
    /// The key's own list does not name the model.
    #[error("the key may not call this model")]
    ModelNotAllowed,
    /// A rate limit of the account or of the key.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// The key has spent its month.
    #[error(transparent)]
    SpendCap(#[from] CapReached),
    /// The buckets do not hold the worst case.
    #[error(transparent)]
    Balance(#[from] Insufficient),
}

/// A request that was counted and may go on to its reservation.
pub struct Entry {
    meter: Meter,
    caller: Caller,
    model: Arc<CatalogueModel>,
    request: Request,
    place: OwnedSemaphorePermit,
}

impl Meter {
    /// Brings the database up to date with the journal, then restores what is counted by day and
    /// month.
    ///
    /// # Errors
    /// [`PlatformError`] when the database or the journal cannot be read.
    pub async fn open(
        platform: Platform,
        journal: Journal,
        counters: Arc<dyn LimitCounters>,
        options: MeterOptions,
    ) -> Result<Self, PlatformError> {
        let clock = SharedClock::clone(&platform.shared.clock);
        let zone = platform.shared.zone.clone();
        let meter = Self(Arc::new(Shared {
            platform,
            journal,
            counters,
            caps: SpendCaps::new(),
            tables: options.tables,
            calendar: Calendar::new(zone),
            clock,
            started: Instant::now(),
            places: Arc::new(Semaphore::new(options.max_calls.min(Semaphore::MAX_PERMITS))),
            retention_days: options.retention_days,
            applying: tokio::sync::Mutex::default(),
        }));
        Box::pin(meter.replay()).await?;
        Box::pin(meter.restore()).await?;
        Ok(meter)
    }

    /// Opens a meter with the published limit tables, counters in memory, and a journal in
    /// `folder`: what one process needs.
    ///
    /// # Errors
    /// [`PlatformError`] when the journal cannot be opened or the database cannot be read.
    pub async fn open_local(platform: &Platform, folder: &Path) -> Result<Self, PlatformError> {
        let journal = JournalOptions {
            path: folder.join("usage.db"),
            durability: Durability::Process,
            preallocate: LOCAL_RESERVE,
            min_free: LOCAL_RESERVE,
            max_size: LOCAL_SIZE,
        };
        let folder = folder.to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(folder).map_err(PlatformError::journal)?;
            Journal::open(journal).map_err(PlatformError::journal)
        });
        let journal = opening.await.map_err(PlatformError::journal)??;
        let options = MeterOptions {
            tables: ClassTables::published().map_err(PlatformError::journal)?,
            max_calls: DEFAULT_CALLS,
            retention_days: None,
        };
        let counters = Arc::new(MemoryCounters::new());
        Self::open(platform.clone(), journal, counters, options).await
    }

    /// Counts a request that is about to be served. From here on it counts against the request
    /// limits, whatever becomes of it. Where several nodes count together, it is counted with its
    /// reservation, in one round trip; or when it ends without one.
    ///
    /// # Errors
    /// [`Refusal`]; a refused request is not counted.
    pub async fn begin(&self, caller: &Caller, model: &Arc<CatalogueModel>) -> Result<Entry, Refusal> {
        let shared = &*self.0;
        shared.journal.gate().map_err(Refusal::Journal)?;
        let limits = caller.limits.as_deref();
        if limits.is_some_and(|limits| !limits.allows_model(&model.id)) {
            return Err(Refusal::ModelNotAllowed);
        }
        let place = Arc::clone(&shared.places)
            .try_acquire_owned()
            .map_err(|_| Refusal::Busy)?;
        let request = Request::begin(self, caller, self.scopes(caller, model)).await?;
        Ok(Entry {
            meter: self.clone(),
            caller: caller.clone(),
            model: Arc::clone(model),
            request,
            place,
        })
    }

    /// The journal that settled calls go to.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.0.platform
    }

    /// The account on this model first, then the key where it has limits of its own.
    fn scopes(&self, caller: &Caller, model: &CatalogueModel) -> Vec<Scope> {
        let level = self.0.platform.level_of(caller);
        let limits = model
            .limits
            .map(|limits| self.0.tables.resolve(&limits, level))
            .unwrap_or_default();
        let mut scopes = Vec::with_capacity(2);
        scopes.push(Scope {
            subject: Subject::Model {
                account: caller.account,
                model: model.id.clone(),
            },
            limits,
        });
        if let Some(own) = caller.limits.as_deref() {
            scopes.push(Scope {
                subject: Subject::Key(caller.key),
                limits: own.into(),
            });
        }
        scopes
    }

    pub(crate) fn moment(&self, now: Timestamp) -> Moment {
        let shared = &*self.0;
        shared.calendar.moment(now, shared.started.elapsed())
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Meter").finish_non_exhaustive()
    }
}

/// What a response says about the limits of its call.
pub type Standings = Vec<Standing>;
