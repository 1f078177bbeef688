//! The journal as callers see it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use silica_billing::UsageEvent;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task;

use crate::gate::{Gate, Reason};
use crate::keeper::{Bell, Keeper};
use crate::queue::{Pending, Queue};
use crate::store::{self, Lock};
use crate::turn::Turn;
use crate::writer::Writer;
use crate::{Closed, Commit, JournalError, JournalOptions, Sequence};

/// The least that the WAL grows to before it is checkpointed.
const LEAST_CHECKPOINT: u64 = 4 << 20;

/// An open journal. Cheap to clone; all clones are the same journal.
///
/// When the last clone is dropped, the threads commit what is queued and end by themselves;
/// [`Journal::close`] waits for them.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// A committed event that the database does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// The event.
    pub event: UsageEvent,
}

/// What the callers and the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) queue: Queue,
    pub(crate) gate: Gate,
    pub(crate) bell: Bell,
    /// Rings after each group that had events in it.
    pub(crate) committed: Notify,
    /// Events that are not forgotten, those in the queue included.
    pub(crate) backlog: AtomicU64,
    /// About how many pages the WAL has got since it was last checkpointed.
    pub(crate) pages_written: AtomicU64,
    /// How many bytes the WAL may get before it is checkpointed.
    pub(crate) checkpoint_bytes: u64,
    /// Events up to this number are not read any more, though they may still stand in the file.
    forgotten: AtomicU64,
    pub(crate) writing: Turn,
    /// The connection of [`Journal::unapplied`]; `None` when closed.
    reader: Mutex<Option<Connection>>,
    /// Keeps other processes out; freed when the threads and all clones are gone.
    _lock: Lock,
}

impl Shared {
    fn reader(&self) -> MutexGuard<'_, Option<Connection>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unapplied(&self, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let reader = self.reader();
        let connection = reader.as_ref().ok_or(JournalError::Closed)?;
        let after = self.forgotten.load(Ordering::Acquire);
        let events = store::read(connection, &self.path, after, limit)?;
        Ok(events
            .into_iter()
            .map(|(sequence, event)| Entry { sequence, event })
            .collect())
    }
}

#[derive(Debug)]
struct Threads {
    shared: Arc<Shared>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    fn stop(&self) {
        self.shared.gate.set(Reason::ShutDown, true, None);
        self.shared.queue.stop();
    }

    fn take_handles(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Journal {
    /// Opens the journal, creates it when it is new, checks all of it and takes its space on the
    /// disk. Blocks: for a check of a large backlog, some seconds.
    ///
    /// A full disk is no error: the gate is closed then, and what waits can be read. Nor is a gap
    /// that a power cut left in the write-ahead log, with [`crate::Durability::Process`]: it is logged.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when the file is damaged, [`JournalError::InUse`] when somebody else
    /// has it open, and others that name the file.
    pub fn open(options: JournalOptions) -> Result<Self, JournalError> {
        let store = store::open(&options)?;
        let (path, durability) = (options.path.clone(), options.durability);
        let failed = |error| JournalError::sqlite("open", &path, error);
        let connect = || store::connect(&path, durability).map_err(failed);
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            gate: Gate::new(path.clone()),
            bell: Bell::default(),
            committed: Notify::new(),
            backlog: AtomicU64::new(store.waiting),
            pages_written: AtomicU64::new(0),
            checkpoint_bytes: LEAST_CHECKPOINT.max(options.preallocate / 4),
            forgotten: AtomicU64::new(store.position.mark),
            writing: Turn::default(),
            reader: Mutex::new(Some(connect()?)),
            _lock: store.lock,
            path: path.clone(),
        });
        if store.waiting > 0 {
            shared.committed.notify_one();
        }
        let keeper = Keeper::new(Arc::clone(&shared), connect()?, options).map_err(failed)?;
        let writer = Writer::new(Arc::clone(&shared), store.connection, store.position);
        let threads = Threads {
            shared: Arc::clone(&shared),
            handles: Mutex::default(),
        };
        let journal = Self {
            shared,
            threads: Arc::new(threads),
        };
        journal.start("silica-journal", move || writer.run())?;
        journal.start("silica-journal-keeper", move || keeper.run())?;
        Ok(journal)
    }

    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), JournalError> {
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|error| JournalError::file("start the threads of", &self.shared.path, error))?;
        self.threads
            .handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        Ok(())
    }

    /// Queues an event. Never blocks and may be called from `Drop`; events are committed in the
    /// order of the calls.
    pub fn append(&self, event: UsageEvent) -> Commit {
        self.append_with(event, None)
    }

    /// As [`Journal::append`], and keeps the call's place among those that may run until the event
    /// is committed: a disk that hangs must not collect the events of ever more calls.
    pub fn append_with(&self, event: UsageEvent, place: Option<OwnedSemaphorePermit>) -> Commit {
        let (pending, commit) = Pending::new(event, place);
        self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = self.shared.queue.push(pending) {
            self.shared.backlog.fetch_sub(1, Ordering::Relaxed);
            refused.report_lost();
        }
        commit
    }

    /// Whether new calls may be admitted. One atomic read.
    ///
    /// # Errors
    /// The reason why not; it goes away by itself, but for [`Closed::ShutDown`].
    pub fn gate(&self) -> Result<(), Closed> {
        self.shared.gate.check()
    }

    /// Reads the oldest committed events that are not forgotten, `limit` at most, in order.
    /// Dropping the future does no harm.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn unapplied(&self, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let shared = Arc::clone(&self.shared);
        task::spawn_blocking(move || shared.unapplied(limit))
            .await
            .map_err(|_| JournalError::Closed)?
    }

    /// Forgets all events up to `through`, which the database has. They are not read any more from
    /// now on, and deleted with the writer's next group.
    pub fn forget(&self, through: Sequence) {
        self.shared.forgotten.fetch_max(through.0, Ordering::AcqRel);
        self.shared.queue.forget(through.0);
    }

    /// Waits until something was committed since the last call; at once when something waited at
    /// the start. For one caller at a time. Dropping the future loses nothing.
    pub async fn committed(&self) {
        self.shared.committed.notified().await;
    }

    /// How many events are not forgotten, those that wait for their commit included.
    pub fn backlog(&self) -> u64 {
        self.shared.backlog.load(Ordering::Relaxed)
    }

    /// Commits what is queued, checkpoints, ends the threads and closes the file. Other clones get
    /// [`JournalError::Closed`] and [`Closed::ShutDown`] from then on.
    ///
    /// Must be the last thing: an event that is appended later is lost. While the disk is full it
    /// tries for five seconds and then logs what it could not commit.
    pub async fn close(self) {
        self.threads.stop();
        let threads = Arc::clone(&self.threads);
        let shared = Arc::clone(&self.shared);
        let closing = task::spawn_blocking(move || {
            for handle in threads.take_handles() {
                // A panic was logged where it happened.
                let _panicked = handle.join();
            }
            // The last connection: its end moves the WAL into the file and removes it.
            shared.reader().take();
        });
        // Fails only when the runtime is ending, which drops everything as well.
        let _ending = closing.await;
    }
}
