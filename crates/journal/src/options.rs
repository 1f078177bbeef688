//! How a journal is opened.

use std::path::PathBuf;

use silica_types::code_enum;

code_enum! {
    /// What a committed event survives.
    Durability, "durability", {
        /// The end of the process, SIGKILL included: committed means that the operating system has it.
        /// After a power cut some of the last events may be missing, also between others: the journal
        /// opens with those that are there, logs how many are known to be lost, and keeps a copy of its
        /// write-ahead log beside the file.
        Process = "process",
        /// The end of the machine, too: one `fsync` per group. Missing events are damage then.
        Disk = "disk",
    }
}

/// Where the journal lies and how much of the disk it may use.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The file; SQLite puts `-wal` and `-shm` beside it, and the journal a `.lock`. Its folder must
    /// exist. On a file system that writes in place (not btrfs or ZFS), or the reserve is none.
    pub path: PathBuf,
    /// What a committed event survives.
    pub durability: Durability,
    /// Bytes that the file and its WAL each keep for calls in flight when the disk fills up; 0 keeps
    /// none.
    pub preallocate: u64,
    /// No new calls are admitted while the file system has fewer free bytes than this.
    pub min_free: u64,
    /// No new calls are admitted while the events that wait take more bytes than this.
    pub max_size: u64,
}
