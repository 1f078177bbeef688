//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

use crate::row::BadRow;

/// Why the journal cannot be opened, read or salvaged, or did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file is damaged. Nothing was changed in it.
    #[error(
        "the usage journal {path} is damaged and holds calls that are not billed yet: stop silica, run \
         `silica journal salvage {path}` (it keeps the damaged file beside the new one), then start again",
        path = path.display()
    )]
    Corrupt {
        /// The journal's file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
    /// A salvage was interrupted before the new file took the old one's place.
    #[error(
        "the salvage of the usage journal {path} was interrupted: run `silica journal salvage {path}` again",
        path = path.display()
    )]
    SalvageUnfinished {
        /// The journal's file.
        path: PathBuf,
    },
    /// Another process, or another part of this one, has it open.
    #[error("the usage journal {path} is in use by another process", path = path.display())]
    InUse {
        /// The journal's file.
        path: PathBuf,
    },
    /// The file is an SQLite database, of something else.
    #[error("{path} is not a usage journal; it was left as it is", path = path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A later version of Silica wrote it.
    #[error(
        "the usage journal {path} has format {found}, written by a newer silica; this one knows format {known}",
        path = path.display()
    )]
    NewerFormat {
        /// The journal's file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this version reads.
        known: i64,
    },
    /// SQLite cannot use a WAL there, for want of shared memory or locks.
    #[error(
        "the usage journal {path} cannot use a write-ahead log on this file system: put it on a local disk",
        path = path.display()
    )]
    NoWal {
        /// The journal's file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried, as in "cannot ...".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// SQLite failed.
    #[error("cannot {action} the usage journal {path}", path = path.display())]
    Sqlite {
        /// What was tried, as in "cannot ...".
        action: &'static str,
        /// The journal's file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The journal was closed before the event was committed.
    #[error("the usage journal was closed before the event was committed")]
    Closed,
}

/// What is wrong with a damaged journal.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// SQLite cannot read the file.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite's own check found something.
    #[error("SQLite's check says: {0}")]
    Check(String),
    /// A row is not what was written.
    #[error("row {sequence} is not what was written")]
    Row {
        /// The row's number.
        sequence: i64,
        /// What is wrong with it.
        #[source]
        source: BadRow,
    },
    /// Rows are missing between others, before the end that SQLite finds, or anywhere with
    /// [`crate::Durability::Disk`].
    #[error("the rows {from} to {through} are missing")]
    Gap {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        through: u64,
    },
    /// The WAL is there and the file is gone or empty; SQLite would throw the WAL away.
    #[error("its -wal file is there but the file itself is missing or empty")]
    MissingFile,
}

impl JournalError {
    pub(crate) fn corrupt(path: &Path, damage: impl Into<Damage>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            damage: damage.into(),
        }
    }

    /// Wraps an error of SQLite; what SQLite itself calls damage becomes [`JournalError::Corrupt`].
    pub(crate) fn sqlite(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            return Self::corrupt(path, source);
        }
        Self::Sqlite {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}
