//! The writer thread: group commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::gate::Reason;
use crate::journal::Shared;
use crate::queue::{Orders, Pending};
use crate::store::{self, PAGE_SIZE, Position};

/// Events in one group; bounds how long one transaction keeps the others waiting.
const LARGEST_GROUP: usize = 512;
/// How long groups are apart while many callers commit at once. A commit costs as much CPU for ten
/// events as for one, and so does waking the callers' threads.
const PACE: Duration = Duration::from_millis(2);
/// How many groups go at once after a pause that gathered nothing, so that callers who come one after
/// the other do not wait for each other.
const UNPACED_GROUPS: u32 = 16;
/// After a failed commit, the first pause and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a closing journal tries to commit what failed before.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    position: Position,
    /// Taken from the queue, not committed yet.
    batch: Vec<Pending>,
    forget: Option<u64>,
    stopping: bool,
    /// The row that is written; kept for its room.
    buffer: Vec<u8>,
    /// Set while events cannot be committed; closes the gate.
    failing: Option<Failing>,
    /// Set while forgetting fails and events may well be committed: then the gate stays open, for
    /// what is not forgotten costs room at the most, and the database knows it when it sees it again.
    unforgotten: Option<Unforgotten>,
    /// Groups left that go without a pause before them.
    unpaced: u32,
}

/// Since when commits fail, and how long to wait before the next try.
struct Failing {
    pause: Duration,
    /// From when on the closing journal has been trying in vain.
    closing_since: Option<Instant>,
}

/// Since when forgetting fails.
struct Unforgotten {
    pause: Duration,
    retry_at: Instant,
    /// Whether it failed by itself, not only in one transaction with events.
    is_certain: bool,
}

/// What of a group could not be written.
enum Failed {
    Events(rusqlite::Error),
    Forget(rusqlite::Error),
    /// Both were one transaction.
    Either,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, connection: Connection, position: Position) -> Self {
        Self {
            shared,
            connection,
            position,
            batch: Vec::new(),
            forget: None,
            stopping: false,
            buffer: Vec::new(),
            failing: None,
            unforgotten: None,
            unpaced: UNPACED_GROUPS,
        }
    }

    /// Works until the journal is closed and everything is committed.
    pub(crate) fn run(mut self) {
        loop {
            self.pace();
            let retry_at = self.unforgotten.as_ref().map(|trouble| trouble.retry_at);
            let orders = self.shared.queue.take(&mut self.batch, retry_at);
            self.follow(orders);
            if self.work_off().is_err() || (self.stopping && self.shared.queue.end_if_empty()) {
                return;
            }
        }
    }

    /// Lets events gather before the next group, when that has been worth it lately.
    fn pace(&mut self) {
        let paced = self.unpaced == 0;
        if paced {
            self.shared.queue.pause(PACE);
        }
        let gathered = self.shared.queue.length() > 1;
        self.unpaced = match (gathered, paced) {
            (true, _) => 0,
            (false, true) => UNPACED_GROUPS,
            (false, false) => self.unpaced - 1,
        };
    }

    fn follow(&mut self, orders: Orders) {
        self.forget = self.forget.max(orders.forget);
        self.stopping = orders.stopping;
    }

    /// Commits all that was taken, however long it takes; fails only when a closing journal gives up.
    fn work_off(&mut self) -> Result<(), GaveUp> {
        while !self.batch.is_empty() || self.has_to_forget() {
            match self.commit_group() {
                Ok(()) => continue,
                Err(Failed::Events(error)) => self.failed(&error)?,
                Err(Failed::Forget(error)) => self.failed_to_forget(&error),
                // The next try is without the other half and tells.
                Err(Failed::Either) => {
                    self.unforgotten.get_or_insert_with(Unforgotten::suspected);
                }
            }
            let orders = self.shared.queue.take_more(&mut self.batch);
            self.follow(orders);
        }
        Ok(())
    }

    fn has_to_forget(&self) -> bool {
        let trouble = self.unforgotten.as_ref();
        // At the end it is tried once more without delay.
        let is_due = trouble.is_none_or(|trouble| self.stopping || trouble.retry_at <= Instant::now());
        self.forget.is_some() && is_due
    }

    fn commit_group(&mut self) -> Result<(), Failed> {
        let size = self.batch.len().min(LARGEST_GROUP);
        // After a failure apart, so that a damaged old page does not keep new events out.
        let apart = self.failing.is_some() || self.unforgotten.is_some();
        let forget = if apart && size > 0 { None } else { self.forget };
        let group = &self.batch[..size];
        let writing = self.shared.writing.lock_first();
        let forgotten = store::commit(&self.connection, self.position, group, forget, &mut self.buffer)
            .map_err(|error| match (size, forget) {
                (0, _) => Failed::Forget(error),
                (_, None) => Failed::Events(error),
                (_, Some(_)) => Failed::Either,
            })?;
        drop(writing);
        self.position.last += size as u64;
        if let Some(through) = forget {
            self.position.mark = through;
            self.shared.backlog.fetch_sub(forgotten, Ordering::Relaxed);
            self.forgot();
        }
        for pending in self.batch.drain(..size) {
            pending.committed();
        }
        if size > 0 {
            self.shared.committed.notify_one();
            self.recovered();
        }
        self.count_pages(size as u64 + forgotten);
        Ok(())
    }

    /// Asks for a checkpoint when the WAL may have grown enough for one.
    fn count_pages(&self, rows: u64) {
        // Rows are short: four and more share a page, and each commit rewrites a few.
        let pages = 3 + rows / 4;
        let threshold = self.shared.checkpoint_bytes / PAGE_SIZE;
        let before = self.shared.pages_written.fetch_add(pages, Ordering::Relaxed);
        if before < threshold && before + pages >= threshold {
            self.shared.bell.ring();
        }
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            self.shared.gate.set(Reason::CommitFull, false, None);
            self.shared.gate.set(Reason::CommitFailed, false, None);
        }
    }

    fn forgot(&mut self) {
        self.forget = None;
        if self.unforgotten.take().is_some_and(|trouble| trouble.is_certain) {
            tracing::info!("the usage journal forgets events again");
        }
    }

    /// Tries again later; a closing journal leaves it to the next start.
    fn failed_to_forget(&mut self, error: &rusqlite::Error) {
        // A checkpoint lets the next commit use the WAL from its beginning.
        self.shared.bell.ring();
        if self.stopping {
            self.forget = None;
        }
        let trouble = self.unforgotten.get_or_insert_with(Unforgotten::suspected);
        if !std::mem::replace(&mut trouble.is_certain, true) {
            tracing::error!(
                journal.path = %self.shared.path.display(),
                error = %error,
                "the usage journal cannot forget events that the database has; it goes on and grows \
                 up to journal.max_size"
            );
        }
        trouble.retry_at = Instant::now() + trouble.pause;
        trouble.pause = (trouble.pause * 2).min(LONGEST_PAUSE);
    }

    fn failed(&mut self, error: &rusqlite::Error) -> Result<(), GaveUp> {
        let reason = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Reason::CommitFull,
            _ => Reason::CommitFailed,
        };
        self.shared.gate.set(reason, true, Some(error));
        // A checkpoint lets the next commit use the WAL from its beginning.
        self.shared.bell.ring();
        let failing = self.failing.get_or_insert(Failing {
            pause: FIRST_PAUSE,
            closing_since: None,
        });
        if self.stopping {
            let since = failing.closing_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= CLOSING_PATIENCE {
                return Err(GaveUp);
            }
        }
        let pause = failing.pause;
        failing.pause = (pause * 2).min(LONGEST_PAUSE);
        self.shared.queue.pause(pause);
        Ok(())
    }
}

impl Unforgotten {
    fn suspected() -> Self {
        Self {
            pause: FIRST_PAUSE,
            retry_at: Instant::now(),
            is_certain: false,
        }
    }
}

/// A closing journal could not commit what it had.
struct GaveUp;

/// However the thread ends, nobody may wait for it any more.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.gate.set(Reason::ShutDown, true, None);
        self.batch.append(&mut self.shared.queue.end());
        for pending in &self.batch {
            pending.report_lost();
        }
        self.shared.bell.stop();
    }
}
