//! Where a model is put together: `.partial/NAME` in the store.
//!
//! ```text
//! .partial/Qwen--Qwen2.5-0.5B-Instruct/
//!   lock                   held by the process that works here
//!   blobs/DIGEST           a file that is whole and has this checksum
//!   blobs/DIGEST.part      the beginning of one
//!   blobs/DIGEST.tag       the entity tag that its server gave it
//!   model/                 the folder as it will be; made anew each time
//! .partial/.trash-PID-N    one of them that is being deleted
//! ```
//!
//! Because files lie here by their checksums, a later try can use what an earlier one left, however
//! that ended and whatever has changed at the hub since.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::{Digest, ModelId, Progress, Step, StoreError};

/// The folder of the store that models are put together in. No part of a name begins with a dot.
pub(crate) const PARTIAL: &str = ".partial";

/// The right to work on one model, until it is dropped. The system takes it back when the process
/// ends, however it ends.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    _lock: File,
}

/// How the names of folders begin that are being deleted. No model's folder is called so.
const TRASH: &str = ".trash-";

impl Staging {
    /// Takes a model of a store for this process.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process has it.
    pub(crate) fn claim(store: &Path, id: &ModelId) -> Result<Self, StoreError> {
        let folder = folder_of(store, id);
        loop {
            fs::create_dir_all(&folder).map_err(|source| StoreError::write(&folder, source))?;
            let path = folder.join("lock");
            let opened = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let lock = match opened {
                // Its last owner has just taken the folder away.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(|source| StoreError::write(&path, source))?,
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { id: id.clone() }),
                Err(TryLockError::Error(source)) => return Err(StoreError::write(path, source)),
            }
            // A lock on a file that is gone keeps nobody out.
            if is_same(&lock, &path) {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Whether something of a model that never got into the store is there.
    pub(crate) fn is_left(store: &Path, id: &ModelId) -> bool {
        folder_of(store, id).is_dir()
    }

    /// Makes the folder for blobs.
    pub(crate) fn make_blobs(&self) -> Result<(), StoreError> {
        let blobs = self.folder.join("blobs");
        fs::create_dir_all(&blobs).map_err(|source| StoreError::write(blobs, source))
    }

    /// The place of a file that is whole.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.file_name())
    }

    /// The place of the beginning of a file.
    pub(crate) fn part(&self, digest: &Digest) -> PathBuf {
        self.blob(digest).with_extension("part")
    }

    /// The place of a beginning's entity tag.
    pub(crate) fn tag(&self, digest: &Digest) -> PathBuf {
        self.blob(digest).with_extension("tag")
    }

    /// How many bytes of a file are there.
    pub(crate) fn kept(&self, digest: &Digest) -> u64 {
        let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len());
        size(&self.blob(digest))
            .or_else(|_| size(&self.part(digest)))
            .unwrap_or(0)
    }

    /// The folder that becomes the model's.
    pub(crate) fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// Empties that folder.
    pub(crate) fn begin_model(&self) -> Result<(), StoreError> {
        let model = self.model();
        remove(&model)?;
        fs::create_dir(&model).map_err(|source| StoreError::write(model, source))
    }

    /// Gives a blob its name in the model's folder. It stays a blob too, for a later try.
    pub(crate) fn place(&self, digest: &Digest, name: &str) -> Result<(), StoreError> {
        let (blob, target) = (self.blob(digest), self.model().join(name));
        if target.exists() {
            return Ok(());
        }
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|source| StoreError::write(folder, source))?;
        }
        let placed = fs::hard_link(&blob, &target)
            // Not all file systems have links.
            .or_else(|_| fs::copy(&blob, &target).map(drop));
        placed.map_err(|source| StoreError::write(target, source))
    }

    /// Moves the model's folder to its place, which must not exist, in one step, and takes away the
    /// rest. What fails after that step is told as a warning: the model is there.
    pub(crate) fn publish(self, target: &Path, progress: &dyn Progress) -> Result<(), StoreError> {
        let model = self.model();
        let failed = |source| StoreError::write(target, source);
        let parent = target.parent().unwrap_or(target);
        fs::create_dir_all(parent).map_err(failed)?;
        sync_all(&model).map_err(failed)?;
        fs::rename(&model, target).map_err(failed)?;
        let synced = sync(parent).map_err(failed);
        for error in [synced, self.discard()].into_iter().filter_map(Result::err) {
            progress.tell(Step::Warning(&error));
        }
        Ok(())
    }

    /// Takes away everything.
    pub(crate) fn discard(self) -> Result<(), StoreError> {
        // First out of the way of others, in one step: who claims the model while this is deleted
        // makes a folder of their own, and nothing of theirs is deleted.
        let trash = self.move_away()?;
        let removed = remove(&trash);
        sweep(trash.parent().unwrap_or(&trash));
        removed
    }

    /// Gives the folder a name that nobody asks for.
    fn move_away(&self) -> Result<PathBuf, StoreError> {
        let process = std::process::id();
        let mut number = 0_u64;
        loop {
            let target = self.folder.with_file_name(format!("{TRASH}{process}-{number}"));
            match fs::rename(&self.folder, &target) {
                Ok(()) => return Ok(target),
                // Another of this process, or one that ended before all was deleted.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty
                    ) =>
                {
                    number += 1;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(target),
                Err(source) => return Err(StoreError::write(&self.folder, source)),
            }
        }
    }

    /// Takes away what no later try can use: everything when nothing of any file has arrived.
    pub(crate) fn tidy(self) -> Result<(), StoreError> {
        remove(&self.model())?;
        let blobs = fs::read_dir(self.folder.join("blobs"));
        let has_some = blobs.is_ok_and(|entries| {
            entries
                .filter_map(Result::ok)
                .any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
        });
        if has_some { Ok(()) } else { self.discard() }
    }
}

fn folder_of(store: &Path, id: &ModelId) -> PathBuf {
    store.join(PARTIAL).join(id.flat())
}

/// Takes away what processes have left that ended while they deleted. Nobody waits for it, so one that
/// stays is no failure.
fn sweep(partial: &Path) {
    let entries = fs::read_dir(partial).into_iter().flatten().filter_map(Result::ok);
    let is_trash = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(TRASH);
    for entry in entries.filter(is_trash) {
        let _stays = fs::remove_dir_all(entry.path());
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => of(file) == of(path),
        _ => false,
    }
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::write(folder, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A folder that is renamed must have its files on the disk, or a power failure leaves their names.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            sync(&entry.path())?;
        }
    }
    sync(folder)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it is told.
    #[derive(Default)]
    struct Warnings(std::sync::Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn tell(&self, step: Step<'_>) {
            if let Step::Warning(error) = step {
                self.0.lock().unwrap().push(error.to_string());
            }
        }
    }

    /// Whoever claims a model again while it is being deleted gets a folder that stays.
    #[test]
    fn what_is_discarded_is_out_of_the_way_before_it_is_deleted() {
        let store = tempfile::tempdir().unwrap();
        let id = ModelId::new("a/b").unwrap();
        let first = Staging::claim(store.path(), &id).unwrap();
        first.make_blobs().unwrap();
        let trash = first.move_away().unwrap();
        let again = Staging::claim(store.path(), &id).unwrap();
        again.make_blobs().unwrap();
        remove(&trash).unwrap();
        assert!(again.folder.join("blobs").is_dir() && again.folder.join("lock").is_file());
        // What a process of the same number has left is not in the way, and goes too.
        fs::create_dir_all(trash.join("blobs")).unwrap();
        again.discard().unwrap();
        assert!(fs::read_dir(store.path().join(PARTIAL)).unwrap().next().is_none());
    }

    #[test]
    fn a_rest_that_cannot_be_taken_away_is_a_warning_once_the_model_is_there() {
        let store = tempfile::tempdir().unwrap();
        let id = ModelId::new("a/b").unwrap();
        let staging = Staging::claim(store.path(), &id).unwrap();
        staging.begin_model().unwrap();
        fs::write(staging.model().join("config.json"), "{}").unwrap();
        // Where the folder should go, there is a file, which no rename of a folder replaces.
        let process = std::process::id();
        let blocked = store.path().join(PARTIAL).join(format!("{TRASH}{process}-0"));
        fs::write(blocked, "").unwrap();
        let (warnings, target) = (Warnings::default(), store.path().join("a/b"));
        staging.publish(&target, &warnings).unwrap();
        assert!(target.join("config.json").is_file());
        assert_eq!(warnings.0.into_inner().unwrap().len(), 1);
    }

    #[test]
    fn a_model_is_worked_on_by_one_at_a_time_and_nothing_is_left_of_nothing() {
        let store = tempfile::tempdir().unwrap();
        let id = ModelId::new("a/b").unwrap();
        let first = Staging::claim(store.path(), &id).unwrap();
        let refused = Staging::claim(store.path(), &id).unwrap_err();
        assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
        Staging::claim(store.path(), &ModelId::new("a/c").unwrap()).unwrap();
        first.make_blobs().unwrap();
        first.tidy().unwrap();
        assert!(!Staging::is_left(store.path(), &id));
        let again = Staging::claim(store.path(), &id).unwrap();
        again.make_blobs().unwrap();
        let digest = Digest::sha256(&"0".repeat(64)).unwrap();
        fs::write(again.part(&digest), "x").unwrap();
        assert_eq!(again.kept(&digest), 1);
        again.tidy().unwrap();
        assert!(Staging::is_left(store.path(), &id));
    }
}
