//! The master key, which seals upstream keys: from the environment, else from a file that only its
//! owner can read, made by the first start.

use std::error::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use silica_platform::{MasterKey, MasterKeySource, MasterKeys};
use silica_types::Secret;

use super::private_file;
use crate::config::MASTER_KEY;

const FILE: &str = "master-key";
/// Held by a rotation. It stays there: removing it would let two rotations lock two files.
const LOCK: &str = "master-key.lock";

/// Where the master keys lie.
#[derive(Debug)]
pub(crate) enum MasterKeyPlace {
    /// In `SILICA_MASTER_KEY`, as it was at the start.
    Environment(MasterKeys),
    /// In this file.
    File(PathBuf),
}

impl MasterKeyPlace {
    /// Finds the keys for a data folder, and makes a file when there are none. The caller has
    /// claimed the folder.
    ///
    /// # Errors
    /// When the keys are malformed, or the file cannot be read or made.
    pub(crate) fn find_or_make(data: &Path, from_environment: Option<&Secret>) -> anyhow::Result<Self> {
        if let Some(keys) = from_environment {
            return Ok(Self::Environment(parse(keys)?));
        }
        let path = data.join(FILE);
        let context = || format!("cannot make {}", path.display());
        let made =
            match private_file::read(&path).with_context(|| format!("cannot read {}", path.display()))? {
                Some(_) => false,
                None => private_file::make(&path, &MasterKeys::from(MasterKey::random()?).text())
                    .with_context(context)?,
            };
        if made {
            tracing::info!(
                "made a master key in {}; keep a copy elsewhere, without it the stored upstream keys are lost",
                path.display()
            );
        } else {
            private_file::warn_if_open(&path);
        }
        read(&path)?;
        Ok(Self::File(path))
    }
}

impl MasterKeySource for MasterKeyPlace {
    fn read(&self) -> Result<MasterKeys, Box<dyn Error + Send + Sync>> {
        match self {
            Self::Environment(keys) => Ok(keys.clone()),
            Self::File(path) => Ok(read(path)?),
        }
    }
}

/// Reads the keys of a variable.
///
/// # Errors
/// When they are malformed.
pub(crate) fn parse(keys: &Secret) -> anyhow::Result<MasterKeys> {
    // Exposed to be parsed; errors do not repeat it.
    MasterKeys::parse(keys.expose()).context(MASTER_KEY)
}

fn read(path: &Path) -> anyhow::Result<MasterKeys> {
    let shown = path.display();
    let text = private_file::read(path)
        .with_context(|| format!("cannot read {shown}"))?
        .ok_or_else(|| anyhow!("{shown} is gone or empty; put a copy of it back"))?;
    MasterKeys::parse(text.expose()).with_context(|| shown.to_string())
}

/// A change of the key file, one at a time.
///
/// Between any two steps the file has every key that a stored value may need, so a rotation that is
/// cut leaves nothing unreadable, and the next one ends its work.
#[derive(Debug)]
pub(crate) struct KeyFileRotation {
    path: PathBuf,
    _lock: File,
}

impl KeyFileRotation {
    /// Takes the key file of a data folder for this process.
    ///
    /// # Errors
    /// When the folder has no key, or another rotation runs.
    pub(crate) fn begin(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        // Before anything is made: the folder may be the wrong one.
        read(&path)?;
        let lock = data.join(LOCK);
        let context = || format!("cannot lock {}", lock.display());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&lock).with_context(context)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another rotation of {} is under way", path.display()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        Ok(Self { path, _lock: file })
    }

    /// Puts a new key in front of the others: from now on it seals, and all of them open.
    ///
    /// # Errors
    /// When the file cannot be read or replaced.
    pub(crate) fn add(&self, new: &MasterKeys) -> anyhow::Result<MasterKeys> {
        let keys = read(&self.path)?.behind(new);
        self.write(&keys)?;
        Ok(keys)
    }

    /// Forgets the keys behind the first. Only when nothing is sealed with them any more.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub(crate) fn keep_first(&self, keys: &MasterKeys) -> anyhow::Result<()> {
        self.write(&keys.only_first())
    }

    fn write(&self, keys: &MasterKeys) -> anyhow::Result<()> {
        private_file::replace(&self.path, &keys.text())
            .with_context(|| format!("cannot replace {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn id(place: &MasterKeyPlace) -> String {
        place.read().unwrap().first().id().to_owned()
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let data = tempfile::tempdir().unwrap();
        let made = id(&MasterKeyPlace::find_or_make(data.path(), None).unwrap());
        let metadata = fs::metadata(data.path().join(FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let again = MasterKeyPlace::find_or_make(data.path(), None).unwrap();
        assert_eq!(id(&again), made);
    }

    #[test]
    fn the_environment_wins_and_leaves_no_file() {
        let data = tempfile::tempdir().unwrap();
        let key = Secret::new("ab".repeat(32));
        let place = MasterKeyPlace::find_or_make(data.path(), Some(&key)).unwrap();
        assert!(matches!(place, MasterKeyPlace::Environment(_)));
        assert!(!data.path().join(FILE).exists());
    }

    #[test]
    fn malformed_keys_are_refused_by_their_place_and_not_shown() {
        let data = tempfile::tempdir().unwrap();
        let refused = MasterKeyPlace::find_or_make(data.path(), Some(&Secret::new("geheim"))).unwrap_err();
        let text = format!("{refused:#}");
        assert!(
            text.starts_with("SILICA_MASTER_KEY: master key 1 is not 32 bytes"),
            "{text}"
        );
        fs::write(data.path().join(FILE), "geheim\n").unwrap();
        let refused = format!(
            "{:#}",
            MasterKeyPlace::find_or_make(data.path(), None).unwrap_err()
        );
        assert!(
            refused.contains("master-key: master key 1 is not") && !refused.contains("geheim"),
            "{refused}"
        );
    }

    #[test]
    fn a_file_that_went_away_while_the_server_runs_is_not_made_anew() {
        let data = tempfile::tempdir().unwrap();
        let place = MasterKeyPlace::find_or_make(data.path(), None).unwrap();
        fs::remove_file(data.path().join(FILE)).unwrap();
        assert!(
            place
                .read()
                .unwrap_err()
                .to_string()
                .contains("put a copy of it back")
        );
        assert!(!data.path().join(FILE).exists());
    }

    #[test]
    fn one_rotation_runs_at_a_time_and_none_where_no_key_is() {
        let data = tempfile::tempdir().unwrap();
        KeyFileRotation::begin(data.path()).unwrap_err();
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
        MasterKeyPlace::find_or_make(data.path(), None).unwrap();
        let _first = KeyFileRotation::begin(data.path()).unwrap();
        let second = KeyFileRotation::begin(data.path()).unwrap_err();
        assert!(second.to_string().contains("under way"), "{second}");
    }
}
