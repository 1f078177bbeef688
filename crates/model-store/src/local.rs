//! Models from this machine: a folder, or a GGUF file, copied into the store.

use std::fs;
use std::path::{Path, PathBuf};

use silica_engine_candle::{GGUF_WEIGHTS, GgufModel};

use crate::add::{self, AddOptions};
use crate::plan::check_text;
use crate::selection::{Selection, is_text, select};
use crate::staging::Staging;
use crate::{Manifest, ModelId, Origin, Step, Store, StoreError, WeightFormat, file_name, space};

/// A file to copy, and its name in the model's folder.
struct Copy {
    from: PathBuf,
    name: String,
    size: u64,
}

impl Store {
    /// Copies a model folder into the store: the files that a hub's repository would give, through
    /// links. Blocks for as long as copying and checking take.
    ///
    /// # Errors
    /// When the name is taken, the folder is no model that can be served, or the disk has no room.
    /// Nothing of it is left then; what an unfinished [`Store::add_from_hub`] of the same name has
    /// left, stays.
    pub fn add_folder(
        &self,
        id: &ModelId,
        folder: &Path,
        options: &AddOptions<'_>,
    ) -> Result<Manifest, StoreError> {
        let what = folder.display().to_string();
        let names = names_in(folder)?;
        let unsuited = |problem| StoreError::Unsuited {
            what: what.clone(),
            problem,
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut selection = select(&names, options.file).map_err(unsuited)?;
        if selection.format == WeightFormat::Gguf {
            // What lies beside it is the person's own, and goes before what the file says.
            let texts = names.iter().filter(|name| is_text(name));
            selection.texts = texts.map(|name| (*name).to_owned()).collect();
        }
        if let Some(index) = selection.index() {
            let path = folder.join(index);
            let content = fs::read(&path).map_err(|source| StoreError::read(path, source))?;
            selection.take_index(&content, &names).map_err(unsuited)?;
        }
        for name in &selection.texts {
            let path = folder.join(name);
            let metadata = fs::metadata(&path).map_err(|source| StoreError::read(path, source))?;
            check_text(name, metadata.len()).map_err(unsuited)?;
        }
        let origin = Origin::Folder {
            path: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
        };
        self.add_copies(id, origin, &copies(folder, selection)?, options)
    }

    /// Copies a GGUF file into the store and makes the text files of its folder. Blocks.
    ///
    /// # Errors
    /// As [`Store::add_folder`].
    pub fn add_gguf(
        &self,
        id: &ModelId,
        file: &Path,
        options: &AddOptions<'_>,
    ) -> Result<Manifest, StoreError> {
        // Refused before gigabytes are copied.
        GgufModel::open(file).map_err(|source| StoreError::Weights {
            id: id.clone(),
            source: Box::new(source),
        })?;
        let origin = Origin::Gguf {
            path: file.canonicalize().unwrap_or_else(|_| file.to_owned()),
        };
        let copy = Copy::of(file.to_owned(), GGUF_WEIGHTS.to_owned())?;
        self.add_copies(id, origin, &[copy], options)
    }

    fn add_copies(
        &self,
        id: &ModelId,
        origin: Origin,
        files: &[Copy],
        options: &AddOptions<'_>,
    ) -> Result<Manifest, StoreError> {
        self.refuse_taken(id)?;
        let staging = Staging::claim(self.root(), id)?;
        let added = self.copy_all(&staging, files, options).and_then(|()| {
            self.refuse_taken(id)?;
            add::finish(id, origin, &staging, options)
        });
        match added {
            Ok(manifest) => {
                staging.publish(&id.folder(self.root()), options.progress)?;
                Ok(manifest)
            }
            Err(error) => {
                // What lies there by checksum is of a download, and none of this.
                staging.tidy()?;
                Err(of_copies(error))
            }
        }
    }

    fn copy_all(
        &self,
        staging: &Staging,
        files: &[Copy],
        options: &AddOptions<'_>,
    ) -> Result<(), StoreError> {
        let bytes = files.iter().map(|file| file.size).sum();
        options.check_size(bytes)?;
        space::check(self.root(), bytes)?;
        options.progress.tell(Step::Planned {
            files: files.len(),
            bytes,
            kept: 0,
        });
        staging.begin_model()?;
        for file in files {
            let target = staging.model().join(&file.name);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(|source| StoreError::write(folder, source))?;
            }
            let copied = fs::copy(&file.from, &target).map_err(|source| match fs::metadata(&file.from) {
                Ok(_) => StoreError::write(&target, source),
                Err(_) => StoreError::read(&file.from, source),
            })?;
            options.progress.tell(Step::Bytes(copied));
            options.progress.tell(Step::Done(&file.name));
        }
        Ok(())
    }
}

/// Nothing of a copy stays, so a full disk is another thing than it is to a download.
fn of_copies(error: StoreError) -> StoreError {
    match error {
        StoreError::Full { path, source } => StoreError::FullCopying { path, source },
        other => other,
    }
}

impl Copy {
    fn of(from: PathBuf, name: String) -> Result<Self, StoreError> {
        let metadata = fs::metadata(&from).map_err(|source| StoreError::read(&from, source))?;
        Ok(Self {
            size: metadata.len(),
            from,
            name,
        })
    }
}

fn copies(folder: &Path, selection: Selection) -> Result<Vec<Copy>, StoreError> {
    let is_gguf = selection.format == WeightFormat::Gguf;
    let texts = selection.texts.into_iter().map(|name| (name.clone(), name));
    let weights = selection.weights.into_iter().map(|name| {
        let target = if is_gguf {
            GGUF_WEIGHTS.to_owned()
        } else {
            name.clone()
        };
        (name, target)
    });
    texts
        .chain(weights)
        .map(|(name, target)| Copy::of(folder.join(name), target))
        .collect()
}

/// The names of a folder's files, and of the text files in the folders of it, which some modules have;
/// what lies deeper is nobody's model.
fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = files_in(folder)?;
    for inner in folders_in(folder)? {
        let files = files_in(&folder.join(&inner)).unwrap_or_default();
        let files = files.into_iter().map(|name| format!("{inner}/{name}"));
        names.extend(files.filter(|name| is_text(name)));
    }
    names.sort();
    Ok(names)
}

fn folders_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = fs::read_dir(folder).map_err(|source| StoreError::read(folder, source))?;
    let folders = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir());
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| file_name::check(name).is_ok()).collect())
}

fn files_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |source| StoreError::read(folder, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Through links: the cache of the hub's own client consists of them.
        let is_file = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file());
        if let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| is_file && file_name::check(name).is_ok())
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_disk_that_fills_up_keeps_no_copies_and_says_so() {
        let full = StoreError::write("/models/a", Error::from(ErrorKind::StorageFull));
        assert!(matches!(full, StoreError::Full { .. }), "{full}");
        assert_eq!(
            of_copies(full).to_string(),
            "the disk is full, /models/a could not be written and the copies were taken away: make room and run the same command again"
        );
    }
}
