//! The store: what is in it, and taking things out.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::digest::Summed;
use crate::staging::Staging;
use crate::{Manifest, ModelId, StoreError};

/// How many parts a model's name has at most.
const DEEPEST: usize = 3;

/// A folder of models. What is in it may change at any time; nothing is remembered.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A file of a model that is not what it was when it came into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its name in the model's folder.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What is in a store.
#[derive(Debug, Default)]
pub struct Listed {
    /// The models, by name.
    pub models: Vec<Manifest>,
    /// Why a folder or a manifest cannot be read; the others are not to suffer for it.
    pub unreadable: Vec<StoreError>,
}

impl Store {
    /// The store in a folder, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model, whether it is there or not; absolute when it is.
    pub fn folder(&self, id: &ModelId) -> PathBuf {
        let folder = id.folder(&self.root);
        folder.canonicalize().unwrap_or(folder)
    }

    /// All models, by name, and what stands where models do and cannot be read.
    ///
    /// # Errors
    /// When the store's own folder cannot be read.
    pub fn list(&self) -> Result<Listed, StoreError> {
        let mut listed = Listed::default();
        for path in entries(&self.root)? {
            collect(&path, DEEPEST, &mut listed);
        }
        listed.models.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(listed)
    }

    /// One model.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when its manifest cannot be read.
    pub fn find(&self, id: &ModelId) -> Result<Manifest, StoreError> {
        let found = Manifest::read(&id.folder(&self.root))?;
        found.ok_or_else(|| StoreError::NotFound { id: id.clone() })
    }

    /// Reads every file of a model and compares it with the manifest. Blocks, for as long as the
    /// disk takes.
    pub fn verify(&self, manifest: &Manifest) -> Vec<DamagedFile> {
        let folder = manifest.id.folder(&self.root);
        let checked = manifest.files.iter().filter_map(|file| {
            let problem = match Summed::of(&folder.join(&file.name)) {
                Ok(summed) if summed.size != file.size => {
                    format!("it has {} bytes, not {}", summed.size, file.size)
                }
                Ok(summed) if summed.sha256 != file.sha256 => {
                    format!("its sha256 is {}, not {}", summed.sha256, file.sha256)
                }
                Ok(_) => return None,
                Err(error) if error.kind() == ErrorKind::NotFound => "it is gone".to_owned(),
                Err(error) => error.to_string(),
            };
            let name = file.name.clone();
            Some(DamagedFile { name, problem })
        });
        checked.collect()
    }

    /// Takes a model out of the store, and what an unfinished try to add it has left. Whoever has
    /// its files open can go on reading them.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Busy`], or when it cannot be deleted.
    pub fn remove(&self, id: &ModelId) -> Result<(), StoreError> {
        let folder = id.folder(&self.root);
        // Whether the manifest can be read does not matter here.
        let is_there = folder.join(crate::MANIFEST).is_file();
        if !is_there && !Staging::is_left(&self.root, id) {
            return Err(StoreError::NotFound { id: id.clone() });
        }
        let staging = Staging::claim(&self.root, id)?;
        if is_there {
            // One step, so that no half of a model is ever in its place.
            staging.begin_model()?;
            fs::rename(&folder, staging.model()).map_err(|source| StoreError::write(&folder, source))?;
            self.prune(&folder);
        }
        staging.discard()
    }

    /// Refuses a name whose place is taken.
    pub(crate) fn refuse_taken(&self, id: &ModelId) -> Result<(), StoreError> {
        let folder = id.folder(&self.root);
        if folder.join(crate::MANIFEST).exists() {
            return Err(StoreError::Exists { id: id.clone() });
        }
        if folder.symlink_metadata().is_ok() {
            return Err(StoreError::Occupied { path: folder });
        }
        let mut above = Path::new(id.as_str()).parent();
        while let Some(name) = above.filter(|name| !name.as_os_str().is_empty()) {
            if self.root.join(name).join(crate::MANIFEST).exists() {
                let other = ModelId::new(&name.to_string_lossy());
                let other = other.unwrap_or_else(|_| id.clone());
                return Err(StoreError::Inside {
                    id: id.clone(),
                    other,
                });
            }
            above = name.parent();
        }
        Ok(())
    }

    /// Takes away the folders above a model that have become empty.
    fn prune(&self, folder: &Path) {
        let mut above = folder.parent();
        while let Some(parent) = above.filter(|parent| *parent != self.root) {
            // One that is not empty stays; that is no failure.
            if fs::remove_dir(parent).is_err() {
                return;
            }
            above = parent.parent();
        }
    }
}

/// Adds the model in a folder, or those below it.
fn collect(folder: &Path, depth: usize, listed: &mut Listed) {
    // What no model is called (`lost+found`, `.partial`) is none of ours.
    let is_part = |name: &str| ModelId::new(name).is_ok();
    if !folder.file_name().and_then(OsStr::to_str).is_some_and(is_part) {
        return;
    }
    match Manifest::read(folder) {
        Ok(Some(manifest)) => listed.models.push(manifest),
        Ok(None) if depth > 1 => match entries(folder) {
            Ok(below) => below.iter().for_each(|path| collect(path, depth - 1, listed)),
            Err(error) => listed.unreadable.push(error),
        },
        Ok(None) => {}
        Err(error) => listed.unreadable.push(error),
    }
}

/// What is in a folder; nothing in one that is not there or is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::read(folder, source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(source) => return Err(failed(source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}
