//! What happens on the way, for whoever shows it.

use std::time::Duration;

use crate::StoreError;

/// A step on the way of a model into the store.
#[derive(Debug, Clone)]
pub enum Step<'a> {
    /// The files are known: their number, their bytes, and how many of these an earlier try left.
    Planned {
        /// How many files.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// Bytes that need not be fetched again.
        kept: u64,
    },
    /// So many more bytes are there.
    Bytes(u64),
    /// So many bytes that were there have to be fetched again.
    Lost(u64),
    /// A file is there and has the right checksum.
    Done(&'a str),
    /// A fault that may pass: the same is tried again after a pause.
    Again {
        /// The file.
        file: &'a str,
        /// What went wrong.
        reason: &'a str,
        /// The pause.
        pause: Duration,
    },
    /// All files are there, and the folder is checked.
    Checking,
    /// The model is there, and something beside it did not work.
    Warning(&'a StoreError),
}

/// Is told what happens. Called often and from several tasks; must not block.
pub trait Progress: Send + Sync {
    /// Takes a step.
    fn tell(&self, step: Step<'_>);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: Step<'_>) {}
}
