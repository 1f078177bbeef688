//! How much memory the adapters of an engine take together.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::LoadError;

/// The memory of one engine's adapters. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AdapterMemory(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: u64,
    used: AtomicU64,
    /// The last number that was given out.
    last: AtomicU64,
}

/// The memory that one adapter holds.
#[derive(Debug)]
pub(super) struct Held {
    counts: Arc<Counts>,
    bytes: u64,
    id: u64,
}

impl AdapterMemory {
    /// At most so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self(Arc::new(Counts {
            limit,
            used: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }))
    }

    /// Takes so many bytes for the adapter in `folder`.
    ///
    /// # Errors
    /// [`LoadError::Adapters`] when that is more than is left.
    pub(super) fn take(&self, folder: &Path, bytes: u64) -> Result<Held, LoadError> {
        let counts = Arc::clone(&self.0);
        counts.take(folder, bytes)?;
        let id = counts.last.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Held { counts, bytes, id })
    }
}

impl Counts {
    /// Counts so many bytes more for the adapter in `folder`.
    fn take(&self, folder: &Path, bytes: u64) -> Result<(), LoadError> {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            });
        match taken {
            Ok(_) => Ok(()),
            Err(used) => Err(LoadError::Adapters {
                folder: folder.to_owned(),
                bytes,
                left: self.limit - used,
            }),
        }
    }
}

impl Held {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds so many bytes instead, for the adapter in `folder`.
    ///
    /// # Errors
    /// As [`AdapterMemory::take`]; then it holds what it held.
    pub(super) fn resize(&mut self, folder: &Path, bytes: u64) -> Result<(), LoadError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.counts.take(folder, more).map_err(|error| match error {
                LoadError::Adapters { folder, left, .. } => LoadError::Adapters {
                    folder,
                    bytes,
                    left: left + self.bytes,
                },
                other => other,
            })?,
            None => {
                self.counts.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counts.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_comes_back_with_the_adapter() {
        let memory = AdapterMemory::new(100);
        let folder = Path::new("adapter");
        let first = memory.take(folder, 60).unwrap();
        let refused = memory.take(folder, 41).unwrap_err();
        assert!(matches!(
            refused,
            LoadError::Adapters {
                bytes: 41,
                left: 40,
                ..
            }
        ));
        let second = memory.take(folder, 40).unwrap();
        assert_ne!(first.id(), second.id());
        drop(first);
        let third = memory.take(folder, 60).unwrap();
        assert!(
            ![0, 1, second.id()].contains(&third.id()),
            "numbers are given out once"
        );
        assert!(memory.take(folder, u64::MAX).is_err());
    }

    #[test]
    fn what_is_held_grows_and_shrinks_within_the_bound() {
        let memory = AdapterMemory::new(100);
        let folder = Path::new("adapter");
        let mut held = memory.take(folder, 60).unwrap();
        held.resize(folder, 100).unwrap();
        assert!(held.resize(folder, 101).is_err() && held.bytes() == 100);
        held.resize(folder, 10).unwrap();
        let other = memory.take(folder, 90).unwrap();
        assert!(held.resize(folder, 11).is_err());
        drop((held, other));
        assert!(memory.take(folder, 100).is_ok());
    }
}
