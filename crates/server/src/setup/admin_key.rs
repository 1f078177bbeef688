//! The operator's bearer key: from the environment, else from a file that only its owner can read.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::TryRng as _;
use rand::rngs::SysRng;
use silica_types::Secret;

use super::private_file;

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
    let existing = private_file::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = match existing {
        Some(key) => {
            private_file::warn_if_open(&path);
            key
        }
        None => make(&path).with_context(|| format!("cannot make {}", path.display()))?,
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

fn make(path: &Path) -> anyhow::Result<Secret> {
    let mut bytes = [0_u8; RANDOM_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .context("the system has no random bytes")?;
    let key = bytes
        .iter()
        .fold(String::new(), |key, byte| format!("{key}{byte:02x}"));
    if private_file::make(path, &Secret::new(format!("{key}\n")))? {
        return Ok(Secret::new(key));
    }
    private_file::read(path)?.context("it was emptied while the server started")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

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
