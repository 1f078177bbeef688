//! What a call has consumed before it has shown anything.

use std::sync::{Arc, OnceLock};

use crate::Usage;

/// Tells whoever may give up a call before its first event what it has cost by then.
///
/// An answer in one piece shows nothing until its end, but the engine works from the moment it has
/// the request. Without this a client could have work done for nothing by leaving in time. Clones
/// are the same.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<OnceLock<Usage>>);

impl Spent {
    /// Says that the call costs this much from now on, even if it is given up. Only the first word
    /// counts.
    pub fn tell(&self, usage: Usage) {
        // A second word would be another request's.
        let _ = self.0.set(usage);
    }

    /// What the call costs if it is given up now; `None` while that is nothing.
    pub fn usage(&self) -> Option<Usage> {
        self.0.get().copied()
    }
}
