//! Which files of a hub's repository are fetched, and what they must be.

use std::fs;

use silica_engine_candle::GGUF_WEIGHTS;

use crate::digest::Digest;
use crate::download::Wanted;
use crate::hub::{Hub, Listing};
use crate::selection::{Selection, select};
use crate::staging::Staging;
use crate::{HubError, Manifest, ModelId, StoreError, WeightFormat, file_name, space};

/// The largest configuration, tokenizer, template or index. The largest tokenizers have 35 MB.
const LARGEST_TEXT_BYTES: u64 = 64 << 20;

/// The files of a repository that make the model.
pub(crate) struct Plan {
    pub(crate) format: WeightFormat,
    pub(crate) texts: Vec<Wanted>,
    pub(crate) weights: Vec<Wanted>,
}

impl Plan {
    /// Finds sizes and checksums of the files that were selected.
    ///
    /// # Errors
    /// When the hub lists none, or a text that is too large for one.
    pub(crate) fn of(
        selection: Selection,
        listing: &Listing,
        repo: &ModelId,
        hub: &Hub,
    ) -> Result<Self, StoreError> {
        let wanted = |names: Vec<String>| -> Result<Vec<Wanted>, HubError> {
            names.into_iter().map(|name| wanted(listing, hub, name)).collect()
        };
        let texts = wanted(selection.texts)?;
        for text in &texts {
            check_text(&text.path, text.size).map_err(|problem| unsuited(repo, problem))?;
        }
        Ok(Self {
            format: selection.format,
            texts,
            weights: wanted(selection.weights)?,
        })
    }

    /// Compares what is in the model's folder with the hub's checksums, for an earlier try may have
    /// left a file that has been damaged since.
    ///
    /// # Errors
    /// [`HubError::WrongDigest`]; the file is deleted then.
    pub(crate) fn compare(&self, manifest: &Manifest, staging: &Staging) -> Result<(), StoreError> {
        for wanted in self.texts.iter().chain(&self.weights) {
            let name = match self.format {
                WeightFormat::Gguf => GGUF_WEIGHTS,
                WeightFormat::Safetensors => &wanted.path,
            };
            let file = manifest.files.iter().find(|file| file.name == name);
            let (Digest::Sha256(listed), Some(file)) = (&wanted.digest, file) else {
                continue;
            };
            if *listed != file.sha256 {
                let blob = staging.blob(&wanted.digest);
                fs::remove_file(&blob).map_err(|source| StoreError::write(blob, source))?;
                return Err(StoreError::Hub(HubError::WrongDigest {
                    file: wanted.path.clone(),
                    listed: wanted.digest.clone(),
                    actual: Digest::Sha256(file.sha256.clone()),
                }));
            }
        }
        Ok(())
    }
}

/// The names that a repository lists, and the files that make the model.
pub(crate) fn selected<'a>(
    listing: &'a Listing,
    repo: &ModelId,
    file: Option<&str>,
) -> Result<(Vec<&'a str>, Selection), StoreError> {
    for file in &listing.files {
        // A hub that lists such a name is not to be trusted with the others either.
        file_name::check(&file.path).map_err(|source| StoreError::UnsafeName {
            what: repo.to_string(),
            source,
        })?;
    }
    let names: Vec<&str> = listing.files.iter().map(|file| file.path.as_str()).collect();
    let selection = select(&names, file).map_err(|problem| unsuited(repo, problem))?;
    Ok((names, selection))
}

/// What a selection complains of, as an error.
pub(crate) fn unsuited(repo: &ModelId, problem: String) -> StoreError {
    StoreError::Unsuited {
        what: repo.to_string(),
        problem,
    }
}

/// Refuses a text that is too large for one: all of it is read into memory.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with the source's name.
pub(crate) fn check_text(name: &str, bytes: u64) -> Result<(), String> {
    if bytes <= LARGEST_TEXT_BYTES {
        return Ok(());
    }
    let (size, limit) = (space::told(bytes), space::told(LARGEST_TEXT_BYTES));
    Err(format!(
        "has a {name} of {size}; files beside the weights may have {limit}"
    ))
}

/// Everything about a file that is to be fetched. Without a size and a checksum none is.
pub(crate) fn wanted(listing: &Listing, hub: &Hub, path: String) -> Result<Wanted, HubError> {
    let file = listing.files.iter().find(|file| file.path == path);
    match file.map(|file| (file.size, file.digest.clone())) {
        Some((Some(size), Some(digest))) => Ok(Wanted { path, size, digest }),
        _ => Err(HubError::Listing {
            hub: hub.name(),
            problem: format!("it gives no size and checksum for {path}"),
        }),
    }
}
