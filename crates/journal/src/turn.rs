//! Who may write to the file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Held by whoever writes: so the writer never runs into the keeper's locks in the file, where it
/// would have to poll.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    held: Mutex<()>,
    wanted: AtomicBool,
}

impl Turn {
    /// For the keeper, who steps back between the parts of long work when it [is wanted](Self::is_wanted):
    /// the mutex is not fair, and would be taken again before the writer has woken up.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the writer, who comes first.
    pub(crate) fn lock_first(&self) -> MutexGuard<'_, ()> {
        match self.held.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.wanted.store(true, Ordering::Release);
                let guard = self.lock();
                self.wanted.store(false, Ordering::Release);
                guard
            }
        }
    }

    /// Whether the writer waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn waiting_writer_is_seen_and_comes_next() {
        let turn = Turn::default();
        drop(turn.lock_first());
        assert!(!turn.is_wanted());
        let held = turn.lock();
        thread::scope(|scope| {
            let writer = scope.spawn(|| drop(turn.lock_first()));
            while !turn.is_wanted() {
                thread::yield_now();
            }
            drop(held);
            writer.join().unwrap();
        });
        assert!(!turn.is_wanted());
    }
}
