//! The data folder: made when it is missing, and used by one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

/// The file whose lock says that the folder is in use. It stays there: removing it would let two
/// servers lock two files of one name. The system drops the lock with the process, however it ends.
const LOCK: &str = ".lock";

/// The right to use a data folder, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Makes the folder unless it is there, and takes it for this process. A new one is closed to
    /// other users, since it will hold e-mail addresses.
    ///
    /// # Errors
    /// When it cannot be made, is not writable, or another server uses it.
    pub(crate) fn claim(folder: &Path) -> anyhow::Result<Self> {
        match Self::try_claim(folder)? {
            Some(claimed) => Ok(claimed),
            None => bail!(
                "another server uses the data folder {}; give this one another (data.dir)",
                folder.display()
            ),
        }
    }

    /// As [`DataFolder::claim`]; `None` when another process uses the folder.
    ///
    /// # Errors
    /// When it cannot be made or is not writable.
    pub(crate) fn try_claim(folder: &Path) -> anyhow::Result<Option<Self>> {
        let context = || format!("cannot use the data folder {}", folder.display());
        let lock = make_private_folder(folder)
            .and_then(|()| open_lock(folder))
            .with_context(context)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        probe(folder).with_context(context)?;
        Ok(Some(Self { _lock: lock }))
    }
}

/// Makes a folder that is closed to other users, unless it is there.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn open_lock(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join(LOCK))
}

/// Finds out now, and not in the middle of the set-up, whether files can be made in `folder`.
fn probe(folder: &Path) -> io::Result<()> {
    let file = folder.join(".writable");
    std::fs::write(&file, [])?;
    std::fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_the_data_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        std::fs::write(&file, "x").unwrap();
        let error = DataFolder::claim(&file).unwrap_err();
        assert!(
            format!("{error:#}").starts_with("cannot use the data folder /"),
            "{error:#}"
        );
    }

    #[test]
    fn a_folder_is_claimed_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::claim(folder.path()).unwrap();
        let error = DataFolder::claim(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("another server uses") && error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        drop(first);
        DataFolder::claim(folder.path()).unwrap();
    }
}
