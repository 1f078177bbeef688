//! Whether new calls may be admitted: a few flags that are cheap to read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why new calls may not be admitted for now. Calls in flight may still settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The disk that the journal lies on is full, or nearly.
    #[error("the disk of the usage journal is full")]
    DiskFull,
    /// The journal cannot be written.
    #[error("the usage journal cannot be written")]
    Failing,
    /// Too much waits for the database.
    #[error("too many calls in the usage journal wait for the database")]
    Backlog,
    /// The journal is closing.
    #[error("the usage journal is shutting down")]
    ShutDown,
}

/// One reason for a closed gate. Several may hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// Fewer free bytes than `min_free`, or no room for the reserve.
    LowSpace = 1,
    /// A commit failed for want of space.
    CommitFull = 1 << 1,
    /// A commit failed for another reason.
    CommitFailed = 1 << 2,
    /// More than `max_size` waits.
    Backlog = 1 << 3,
    /// Closing or closed.
    ShutDown = 1 << 4,
}

impl Reason {
    const fn flag(self) -> u8 {
        self as u8
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::LowSpace => "its disk has too little free space",
            Self::CommitFull => "a commit failed because the disk is full",
            Self::CommitFailed => "a commit failed",
            Self::Backlog => "the events that wait for the database take more than journal.max_size",
            Self::ShutDown => "it is shutting down",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Gate {
    reasons: AtomicU8,
    path: PathBuf,
}

impl Gate {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self {
            reasons: AtomicU8::new(0),
            path,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Closed> {
        let reasons = self.reasons.load(Ordering::Acquire);
        let has = |reason: Reason| reasons & reason.flag() != 0;
        if reasons == 0 {
            Ok(())
        } else if has(Reason::ShutDown) {
            Err(Closed::ShutDown)
        } else if has(Reason::LowSpace) || has(Reason::CommitFull) {
            Err(Closed::DiskFull)
        } else if has(Reason::CommitFailed) {
            Err(Closed::Failing)
        } else {
            Err(Closed::Backlog)
        }
    }

    /// Sets or clears one reason; logs when that changes something.
    pub(crate) fn set(&self, reason: Reason, holds: bool, cause: Option<&rusqlite::Error>) {
        if holds {
            self.close(reason, cause);
        } else {
            self.reopen(reason);
        }
    }

    fn close(&self, reason: Reason, cause: Option<&rusqlite::Error>) {
        let before = self.reasons.fetch_or(reason.flag(), Ordering::AcqRel);
        if before & reason.flag() != 0 || reason == Reason::ShutDown {
            return;
        }
        tracing::error!(
            journal.path = %self.path.display(),
            journal.reason = reason.describe(),
            error = cause.map(tracing::field::display),
            "the usage journal refuses new calls: {}; calls in flight wait until their usage is committed",
            reason.describe()
        );
    }

    fn reopen(&self, reason: Reason) {
        // Read first: the writer says this after every group.
        if self.reasons.load(Ordering::Relaxed) & reason.flag() == 0 {
            return;
        }
        let before = self.reasons.fetch_and(!reason.flag(), Ordering::AcqRel);
        if before & reason.flag() == 0 {
            return;
        }
        tracing::info!(
            journal.path = %self.path.display(),
            journal.reason = reason.describe(),
            journal.open = before == reason.flag(),
            "the usage journal has recovered from: {}",
            reason.describe()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn gate_is_open_when_no_reason_is_left() {
        let gate = Gate::new(PathBuf::from("journal.db"));
        assert_eq!(gate.check(), Ok(()));
        gate.set(Reason::Backlog, true, None);
        gate.set(Reason::LowSpace, true, None);
        assert_eq!(gate.check(), Err(Closed::DiskFull));
        gate.set(Reason::LowSpace, false, None);
        assert_eq!(gate.check(), Err(Closed::Backlog));
        gate.set(Reason::CommitFailed, true, None);
        assert_eq!(gate.check(), Err(Closed::Failing));
        gate.set(Reason::CommitFailed, false, None);
        gate.set(Reason::Backlog, false, None);
        assert_eq!(gate.check(), Ok(()));
        gate.set(Reason::ShutDown, true, None);
        assert_eq!(gate.check(), Err(Closed::ShutDown));
    }

    #[test]
    fn each_reason_is_logged_once_each_way() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let gate = Gate::new(PathBuf::from("journal.db"));
            for _ in 0..2 {
                for _ in 0..3 {
                    gate.set(Reason::LowSpace, true, None);
                    gate.set(Reason::Backlog, true, None);
                }
                for _ in 0..3 {
                    gate.set(Reason::LowSpace, false, None);
                    gate.set(Reason::Backlog, false, None);
                }
            }
        });
        let text = log.text();
        assert_eq!(text.matches("ERROR").count(), 4, "{text}");
        assert_eq!(text.matches(" INFO").count(), 4, "{text}");
        assert_eq!(text.matches("journal.open=true").count(), 2, "{text}");
    }

    #[derive(Debug, Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
