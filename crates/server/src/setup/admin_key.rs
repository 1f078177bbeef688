//! The operator's bearer key: from the environment, else from a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::TryRng as _;
use rand::rngs::SysRng;
use silica_types::Secret;

/// The shortest key that is accepted, in characters.
const MINIMUM_LENGTH: usize = 32;
/// Random bytes of a generated key; it is written as twice as many hexadecimal digits.
const RANDOM_BYTES: usize = 32;

/// Where the key lies that `/admin/v1` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    /// In `SILICA_ADMIN_KEY`.
    Environment,
    /// In this file.
    File(PathBuf),
}

/// Returns the key from the environment, or the one in `admin.key` of the data folder, which is
/// made when it is missing or empty. The caller has claimed the folder.
///
/// # Errors
/// When a key is too short, or the file cannot be read or made.
pub(crate) fn load_or_make(
    data: &Path,
    from_environment: Option<Secret>,
) -> anyhow::Result<(Secret, KeyPlace)> {
    if let Some(key) = from_environment {
        check(&key).context("SILICA_ADMIN_KEY")?;
        return Ok((key, KeyPlace::Environment));
    }
    let path = data.join("admin.key");
    let existing = read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = match existing {
        Some(key) => {
            warn_if_open(&path);
            key
        }
        None => make(data, &path).with_context(|| format!("cannot make {}", path.display()))?,
    };
    check(&key).with_context(|| format!("{}; delete the file to have a new key made", path.display()))?;
    Ok((key, KeyPlace::File(path)))
}

fn check(key: &Secret) -> anyhow::Result<()> {
    // The length says nothing about the key; the key itself is not shown.
    let length = key.expose().chars().count();
    ensure!(
        length >= MINIMUM_LENGTH,
        "the admin key has {length} characters, it must have at least {MINIMUM_LENGTH}"
    );
    ensure!(
        key.expose().bytes().all(|byte| byte.is_ascii_graphic()),
        "the admin key must be visible ASCII without spaces"
    );
    Ok(())
}

/// Reads the key; `None` when there is no file or nothing in it.
fn read(path: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(Secret::new(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn warn_if_open(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let path = path.display();
        tracing::warn!("other users of this machine may read {path}; run: chmod 600 {path}");
    }
}

/// Makes a key and its file. The file gets its name when it is whole and on the disk, so that an
/// interruption leaves either a good key or none.
fn make(data: &Path, path: &Path) -> anyhow::Result<Secret> {
    let mut bytes = [0_u8; RANDOM_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .context("the system has no random bytes")?;
    let key = bytes
        .iter()
        .fold(String::new(), |key, byte| format!("{key}{byte:02x}"));
    let unfinished = data.join("admin.key.new");
    remove_if_there(&unfinished)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(format!("{key}\n").as_bytes())?;
    file.sync_all()?;
    // Only an empty file can be in the way: what an interruption of an editor or a copy leaves.
    if read(path)?.is_none() {
        remove_if_there(path)?;
    }
    // A link, unlike a rename, never replaces a key that someone has put there meanwhile.
    let linked = fs::hard_link(&unfinished, path);
    remove_if_there(&unfinished)?;
    match linked {
        Ok(()) => {
            File::open(data)?.sync_all()?;
            Ok(Secret::new(key))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path)?.context("it was emptied while the server started")
        }
        Err(error) => Err(error.into()),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let data = tempfile::tempdir().unwrap();
        let (made, place) = load_or_make(data.path(), None).unwrap();
        let path = data.path().join("admin.key");
        assert_eq!(place, KeyPlace::File(path.clone()));
        assert_eq!(made.expose().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, _) = load_or_make(data.path(), None).unwrap();
        assert_eq!(again.expose(), made.expose());
    }

    #[test]
    fn the_environment_wins_and_leaves_no_file() {
        let data = tempfile::tempdir().unwrap();
        let (key, place) = load_or_make(data.path(), Some(Secret::new("k".repeat(32)))).unwrap();
        assert_eq!((key.expose().len(), place), (32, KeyPlace::Environment));
        assert!(!data.path().join("admin.key").exists());
    }

    #[test]
    fn short_keys_are_refused_without_being_shown() {
        let data = tempfile::tempdir().unwrap();
        let error = load_or_make(data.path(), Some(Secret::new("geheim"))).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "SILICA_ADMIN_KEY: the admin key has 6 characters, it must have at least 32"
        );
        fs::write(data.path().join("admin.key"), "geheim\n").unwrap();
        let error = load_or_make(data.path(), None).unwrap_err();
        assert!(format!("{error:#}").contains("delete the file"), "{error:#}");
    }

    #[test]
    fn an_empty_file_counts_as_missing_and_leftovers_are_replaced() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("admin.key");
        fs::write(&path, "").unwrap();
        fs::write(data.path().join("admin.key.new"), "half").unwrap();
        let (made, _) = load_or_make(data.path(), None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), made.expose());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!data.path().join("admin.key.new").exists());
    }
}
