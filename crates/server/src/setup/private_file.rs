//! Files that hold a secret: only their owner can read them, and they are whole or not there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use silica_types::Secret;

/// Reads a file without the white space around its text; `None` when there is no file or nothing in it.
pub(super) fn read(path: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(Secret::new(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Warns when other users may read a file.
pub(super) fn warn_if_open(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let path = path.display();
        tracing::warn!("other users of this machine may read {path}; run: chmod 600 {path}");
    }
}

/// Makes a file and says whether: one that is there already, and has something in it, stays. The
/// file gets its name when it is whole and on the disk, so that an interruption leaves either a good
/// one or none.
pub(super) fn make(path: &Path, text: &Secret) -> io::Result<bool> {
    let unfinished = write_beside(path, text)?;
    // Only an empty file can be in the way: what an interruption of an editor or a copy leaves.
    if read(path)?.is_none() {
        remove_if_there(path)?;
    }
    // A link, unlike a rename, never replaces what someone has put there meanwhile.
    let linked = fs::hard_link(&unfinished, path);
    remove_if_there(&unfinished)?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts a file in the place of another, in one step that an interruption cannot cut in two.
pub(super) fn replace(path: &Path, text: &Secret) -> io::Result<()> {
    fs::rename(write_beside(path, text)?, path)?;
    sync_folder(path)
}

fn write_beside(path: &Path, text: &Secret) -> io::Result<PathBuf> {
    let mut unfinished = OsString::from(path);
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    remove_if_there(&unfinished)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    // Exposed to be kept: the file is the secret's home.
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    Ok(unfinished)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
