//! The files around the database: permissions, names, the lock, the room on the disk.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::JournalError;

/// Usage and money are nobody else's business.
const PRIVATE: u32 = 0o600;

/// Returns the path with `suffix` after the file's name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Creates an empty file that only its owner may read, unless it exists.
pub(crate) fn create_private(path: &Path) -> Result<(), JournalError> {
    open_private(path)
        .map(drop)
        .map_err(|error| JournalError::file("create", path, error))
}

/// Takes the rights of everybody else away. SQLite gives its side files the rights of the database.
pub(crate) fn set_private(path: &Path) -> Result<(), JournalError> {
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))
        .map_err(|error| JournalError::file("restrict access to", path, error))
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
}

/// Holds the journal for one user of it; freed when dropped, also by the end of the process.
///
/// A file of its own: closing any handle of the database file would drop the locks that SQLite
/// holds on it in this process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, JournalError> {
        let lock = beside(path, ".lock");
        let file = open_private(&lock).map_err(|error| JournalError::file("create", &lock, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(JournalError::file("lock", &lock, error)),
        }
    }
}

/// Bytes that this process may still write to the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Waits until the disk has what was created and renamed beside `path`: that is in the folder, not
/// in the files.
pub(crate) fn sync_folder(path: &Path) -> Result<(), JournalError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| JournalError::file("write", folder, error))
}

/// Names of damaged files that were kept.
pub(crate) struct OldNames {
    pub(crate) last: Option<PathBuf>,
    /// One that is free.
    pub(crate) next: PathBuf,
}

pub(crate) fn old_names(path: &Path) -> Result<OldNames, JournalError> {
    let mut last = None;
    let mut number = 1_u32;
    loop {
        let next = beside(path, &format!(".damaged-{number}"));
        if !super::exists(&next)? && !super::exists(&beside(&next, "-wal"))? {
            return Ok(OldNames { last, next });
        }
        last = Some(next);
        number += 1;
    }
}
