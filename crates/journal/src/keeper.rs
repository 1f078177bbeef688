//! The keeper thread: checkpoints, the watch on the disk, the reserve.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::gate::Reason;
use crate::journal::Shared;
use crate::reserve::{self, Checkpoint};
use crate::{JournalOptions, meters, store};

/// How often the disk is looked at.
const ROUND: Duration = Duration::from_millis(250);
/// How long to wait before space that could not be had is asked for again.
const RESERVE_PAUSE: Duration = Duration::from_secs(2);
/// How long readers may keep a checkpoint waiting; the writer waits with it.
const READERS_PATIENCE: Duration = Duration::from_millis(50);

/// How long the reserve leaves the file to a writer that waits for it: enough to wake up and take it.
const WRITER_TURN: Duration = Duration::from_millis(1);

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    connection: Connection,
    options: JournalOptions,
    reserve: Reserve,
    /// Whether the last look at the disk failed, so that it is logged once.
    blind: bool,
    /// Whether the last checkpoint failed, for the same reason.
    stuck: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    Whole,
    /// Calls in flight have used it, or it was never there; `Instant` of the last try to get it.
    Short(Option<Instant>),
}

impl Keeper {
    /// Makes the reserve and sets the gate as it is now, before the first call.
    pub(crate) fn new(
        shared: Arc<Shared>,
        connection: Connection,
        options: JournalOptions,
    ) -> rusqlite::Result<Self> {
        connection.busy_timeout(READERS_PATIENCE)?;
        let mut keeper = Self {
            shared,
            connection,
            options,
            reserve: Reserve::Short(None),
            blind: false,
            stuck: false,
        };
        keeper.round();
        Ok(keeper)
    }

    /// Works until the writer has ended.
    pub(crate) fn run(mut self) {
        meters::describe();
        while self.shared.bell.wait(ROUND) == Call::Round {
            self.round();
        }
        self.report();
    }

    fn round(&mut self) {
        self.checkpoint();
        self.measure();
        self.refill();
        self.watch_disk();
        self.report();
    }

    fn report(&self) {
        let backlog = self.shared.backlog.load(Ordering::Relaxed);
        meters::report(backlog, self.shared.gate.check().is_ok());
    }

    fn checkpoint(&mut self) {
        let threshold = self.shared.checkpoint_bytes / store::PAGE_SIZE;
        let waiting = self.shared.pages_written.load(Ordering::Relaxed);
        // A commit that failed for want of space can go on at the beginning of the WAL.
        let starved = self.shared.gate.check() == Err(crate::Closed::DiskFull) && waiting > 0;
        if waiting < threshold && !starved {
            return;
        }
        match self.begin_wal_anew() {
            Ok(()) => self.stuck = false,
            Err(error) => {
                if !std::mem::replace(&mut self.stuck, true) {
                    tracing::warn!(error = %error, "cannot checkpoint the usage journal; its WAL grows meanwhile");
                }
            }
        }
    }

    fn begin_wal_anew(&self) -> rusqlite::Result<()> {
        // Most of the work and of the waiting for the disk happens beside the writer ...
        reserve::checkpoint(&self.connection, Checkpoint::Passive)?;
        // ... and the rest while it stands still: under load a checkpoint that lets it write would
        // never reach the end of the WAL, which then grows for ever.
        let _writing = self.shared.writing.lock();
        // Not whole when a reader was at work; then the next round goes on.
        if reserve::checkpoint(&self.connection, Checkpoint::Restart)? {
            self.shared.pages_written.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Compares what waits, and what is free in the file, with what they may be.
    fn measure(&mut self) {
        let Ok(room) = store::room(&self.connection) else {
            return;
        };
        let most = self.options.max_size;
        // Once closed it opens well below the border, not at each event that is forgotten.
        if room.used > most {
            self.shared.gate.set(Reason::Backlog, true, None);
        } else if room.used <= most - most / 8 {
            self.shared.gate.set(Reason::Backlog, false, None);
        }
        if self.reserve == Reserve::Whole && room.free < self.options.preallocate / 2 {
            self.reserve = Reserve::Short(None);
        }
    }

    fn refill(&mut self) {
        let Reserve::Short(tried) = self.reserve else {
            return;
        };
        if tried.is_some_and(|at| at.elapsed() < RESERVE_PAUSE) || self.is_below_min_free() {
            return;
        }
        let filled = self.fill();
        self.reserve = match filled {
            Ok(()) => Reserve::Whole,
            Err(error) => {
                self.shared.gate.set(Reason::LowSpace, true, Some(&error));
                Reserve::Short(Some(Instant::now()))
            }
        };
    }

    /// Calls settle meanwhile: they never wait for more than one row of zeros.
    fn fill(&self) -> rusqlite::Result<()> {
        let turn = || {
            let shared = &self.shared;
            if shared.writing.is_wanted() && shared.bell.pause(WRITER_TURN) == Call::Stop {
                return None;
            }
            Some(shared.writing.lock())
        };
        if self.options.preallocate == 0 {
            return Ok(());
        }
        self.begin_wal_anew()?;
        // What an attempt left behind that was interrupted.
        reserve::empty(&self.connection, turn)?;
        self.check_room_for_reserve()?;
        let filled = reserve::fill(&self.connection, self.options.preallocate, turn);
        reserve::empty(&self.connection, turn)?;
        // What the file grows by gets its place on the disk here, not with the first call that needs it.
        filled.and_then(|()| self.begin_wal_anew())
    }

    /// Refuses to begin what would leave the disk so full that not even a checkpoint gets through.
    fn check_room_for_reserve(&self) -> rusqlite::Result<()> {
        let bytes = self.options.preallocate;
        let wal = store::beside(&self.options.path, "-wal");
        let wal = std::fs::metadata(wal).map_or(0, |metadata| metadata.len());
        let in_file = store::room(&self.connection)?.free;
        let needed = bytes.saturating_sub(wal) + bytes.saturating_sub(in_file);
        // A little more for the heads of frames and what is written meanwhile.
        let needed = needed + needed / 16;
        match store::free_bytes(&self.options.path) {
            Ok(free) if free < needed => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                Some("no room for journal.preallocate".to_owned()),
            )),
            // When it cannot be seen, the attempt tells.
            _ => Ok(()),
        }
    }

    fn is_below_min_free(&self) -> bool {
        store::free_bytes(&self.options.path).is_ok_and(|free| free < self.options.min_free)
    }

    fn watch_disk(&mut self) {
        let least = self.options.min_free;
        let free = match store::free_bytes(&self.options.path) {
            Ok(free) => free,
            Err(error) => {
                if !std::mem::replace(&mut self.blind, true) {
                    tracing::warn!(error = %error, "cannot see how much space the usage journal's disk has");
                }
                return;
            }
        };
        self.blind = false;
        if free < least {
            self.shared.gate.set(Reason::LowSpace, true, None);
        } else if free >= least.saturating_add(least / 8) && !self.has_failed_to_refill() {
            self.shared.gate.set(Reason::LowSpace, false, None);
        }
    }

    fn has_failed_to_refill(&self) -> bool {
        matches!(self.reserve, Reserve::Short(Some(_)))
    }
}

/// Wakes the keeper before its round is due.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    ringing: bool,
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Round,
    Stop,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.change(|state| state.ringing = true);
    }

    pub(crate) fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    /// Waits, and is not woken by ringing.
    fn pause(&self, pause: Duration) -> Call {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .rung
            .wait_timeout_while(state, pause, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped { Call::Stop } else { Call::Round }
    }

    fn change(&self, change: impl FnOnce(&mut BellState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_one();
    }

    fn wait(&self, longest: Duration) -> Call {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .rung
            .wait_timeout_while(state, longest, |state| !state.ringing && !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        state.ringing = false;
        if state.stopped { Call::Stop } else { Call::Round }
    }
}
