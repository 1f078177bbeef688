//! What happens once only.

use crate::sync::{AtomicBool, Ordering};

/// The stage of a hold: open until it is settled or released, and then ended for ever.
#[derive(Debug)]
pub(crate) struct Once {
    is_ended: AtomicBool,
}

impl Once {
    /// Begins open.
    pub(crate) fn new() -> Self {
        Self {
            is_ended: AtomicBool::new(false),
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_ended.load(Ordering::Acquire)
    }

    /// Ends it; `true` for the one caller that did.
    pub(crate) fn end(&self) -> bool {
        // The numbers that the ended hold stands for are guarded by a mutex of their own.
        !self.is_ended.swap(true, Ordering::AcqRel)
    }
}
