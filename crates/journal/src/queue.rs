//! What waits for the writer thread, and how callers learn that it is done.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use silica_billing::UsageEvent;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::JournalError;

/// The place of an event in the journal. Grows with each event of one file, over restarts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub(crate) u64);

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Resolves when the event is committed. Dropping it does not undo the append.
///
/// While the disk is full or the journal fails, it waits; it fails with [`JournalError::Closed`]
/// only when the journal ends before the event could be committed.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<()>);

impl Future for Commit {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|result| result.map_err(|_| JournalError::Closed))
    }
}

/// An event that is not committed yet; dropping it fails its [`Commit`].
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) event: UsageEvent,
    done: oneshot::Sender<()>,
    /// The call's place among those that may run; free again with the commit.
    _place: Option<OwnedSemaphorePermit>,
}

impl Pending {
    pub(crate) fn new(event: UsageEvent, place: Option<OwnedSemaphorePermit>) -> (Self, Commit) {
        let (done, committed) = oneshot::channel();
        let pending = Self {
            event,
            done,
            _place: place,
        };
        (pending, Commit(committed))
    }

    /// Tells the caller, who may have left.
    pub(crate) fn committed(self) {
        let _left = self.done.send(());
    }

    /// Logs all that is needed to book it by hand.
    pub(crate) fn report_lost(&self) {
        tracing::error!(
            event.id = %self.event.id,
            account.id = %self.event.account,
            model.name = %self.event.model,
            event.amount = %self.event.amount,
            "the usage journal closed before it could commit a call: it will not be billed"
        );
    }
}

/// The way from callers to the writer. Its length is bounded by the calls that may run, whose places
/// wait in it, and the gate admits no new ones while the writer cannot write.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Only the writer waits on it.
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<Pending>,
    forget: Option<u64>,
    /// Whether the writer sleeps and has to be woken; the first to see it does so.
    idle: bool,
    stopping: bool,
    ended: bool,
}

/// What the writer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Forget all events up to this one.
    pub(crate) forget: Option<u64>,
    /// No more will come from those who close the journal; work off what there is and end.
    pub(crate) stopping: bool,
}

impl Queue {
    /// Hands the event back when the writer has ended.
    pub(crate) fn push(&self, pending: Pending) -> Result<(), Box<Pending>> {
        let mut state = self.lock();
        if state.ended {
            return Err(Box::new(pending));
        }
        state.pending.push(pending);
        self.wake(state);
        Ok(())
    }

    pub(crate) fn forget(&self, through: u64) {
        let mut state = self.lock();
        state.forget = state.forget.max(Some(through));
        self.wake(state);
    }

    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        drop(state);
        self.ready.notify_one();
    }

    /// Waits for work, `until` then when that is given, and moves what there is to the end of `batch`.
    pub(crate) fn take(&self, batch: &mut Vec<Pending>, until: Option<Instant>) -> Orders {
        let mut state = self.lock();
        while state.pending.is_empty() && state.forget.is_none() && !state.stopping {
            state.idle = true;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.ready.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.idle = false;
        state.take(batch)
    }

    /// Moves what there is to the end of `batch`, without waiting.
    pub(crate) fn take_more(&self, batch: &mut Vec<Pending>) -> Orders {
        self.lock().take(batch)
    }

    /// How many events wait to be taken.
    pub(crate) fn length(&self) -> usize {
        self.lock().pending.len()
    }

    /// Waits for `pause`, or until the journal is to stop when it was not before.
    pub(crate) fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        let mut state = self.lock();
        let stopping = state.stopping;
        while state.stopping == stopping {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (state, _) = self
                .ready
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses what comes from now on, and returns what came since the last [`Queue::take`].
    pub(crate) fn end(&self) -> Vec<Pending> {
        let mut state = self.lock();
        state.ended = true;
        std::mem::take(&mut state.pending)
    }

    /// Ends when nothing is left to do.
    pub(crate) fn end_if_empty(&self) -> bool {
        let mut state = self.lock();
        state.ended |= state.pending.is_empty() && state.forget.is_none();
        state.ended
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::take(&mut state.idle);
        // Woken outside of the lock, or the writer would run into it.
        drop(state);
        if asleep {
            self.ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, batch: &mut Vec<Pending>) -> Orders {
        if batch.is_empty() {
            // Both keep their room for the next time.
            std::mem::swap(&mut self.pending, batch);
        } else {
            batch.append(&mut self.pending);
        }
        Orders {
            forget: self.forget.take(),
            stopping: self.stopping,
        }
    }
}
