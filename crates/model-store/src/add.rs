//! Models into the store: the way from a hub, and the end of the way that all have in common.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use silica_engine_candle::{GGUF_WEIGHTS, GgufModel};
use tokio::task::spawn_blocking;

use crate::digest::Summed;
use crate::download::{Download, Wanted};
use crate::hub::{Hub, Place};
use crate::plan::{Plan, check_text, selected, unsuited, wanted};
use crate::staging::Staging;
use crate::{
    Manifest, ModelFile, ModelId, Origin, Progress, Silent, Step, Store, StoreError, WeightFormat, check,
    space,
};

/// How a model is to be added.
#[derive(Clone, Copy)]
pub struct AddOptions<'a> {
    /// The branch, tag or commit of a hub's repository; `None` is the hub's main branch.
    pub revision: Option<&'a str>,
    /// The one GGUF file that is meant, by its path in the repository or folder.
    pub file: Option<&'a str>,
    /// The most bytes that the model may have.
    pub max_bytes: u64,
    /// When this is.
    pub now: Timestamp,
    /// Is told what happens.
    pub progress: &'a dyn Progress,
}

impl AddOptions<'_> {
    pub(crate) const fn check_size(&self, bytes: u64) -> Result<(), StoreError> {
        if bytes > self.max_bytes {
            return Err(StoreError::TooLarge {
                bytes,
                limit: self.max_bytes,
            });
        }
        Ok(())
    }
}

impl Store {
    /// Fetches a model from a hub. A try that was cut, however it was cut, leaves what has arrived,
    /// and the next one goes on from there.
    ///
    /// # Errors
    /// When the name is taken, the hub does not give the model, or it is no model that can be
    /// served. Of a model that was refused nothing is left.
    pub async fn add_from_hub(
        &self,
        id: &ModelId,
        hub: &Hub,
        repo: &ModelId,
        options: &AddOptions<'_>,
    ) -> Result<Manifest, StoreError> {
        self.refuse_taken(id)?;
        let staging = Staging::claim(self.root(), id)?;
        let added = self.stage(id, hub, repo, &staging, options).await;
        match added {
            Ok(manifest) => {
                // Whoever had the lock until now may have been quicker.
                self.refuse_taken(id)?;
                staging.publish(&id.folder(self.root()), options.progress)?;
                Ok(manifest)
            }
            Err(error) => {
                if error.is_refusal() {
                    staging.discard()?;
                } else {
                    staging.tidy()?;
                }
                Err(error)
            }
        }
    }

    async fn stage(
        &self,
        id: &ModelId,
        hub: &Hub,
        repo: &ModelId,
        staging: &Staging,
        options: &AddOptions<'_>,
    ) -> Result<Manifest, StoreError> {
        let revision = options.revision.unwrap_or_else(|| hub.default_revision());
        let place = Place {
            repo: repo.as_str(),
            revision,
        };
        let listing = hub.list(place, options.progress).await?;
        let (names, mut selection) = selected(&listing, repo, options.file)?;
        staging.make_blobs()?;
        let download = Download {
            hub,
            // The commit, so that all files are of one, whatever is pushed meanwhile.
            place: Place {
                revision: listing.commit.as_deref().unwrap_or(revision),
                ..place
            },
            staging,
            progress: options.progress,
        };
        if let Some(index) = selection.index() {
            let index = wanted(&listing, hub, index.to_owned())?;
            check_text(&index.path, index.size).map_err(|problem| unsuited(repo, problem))?;
            // Nobody knows yet how much there is to fetch, so nothing is told.
            let quiet = Download {
                progress: &Silent,
                ..download
            };
            quiet.all(std::slice::from_ref(&index)).await?;
            let path = staging.blob(&index.digest);
            let content = tokio::fs::read(&path).await;
            let content = content.map_err(|source| StoreError::read(path, source))?;
            let taken = selection.take_index(&content, &names);
            taken.map_err(|problem| unsuited(repo, problem))?;
        }
        let plan = Plan::of(selection, &listing, repo, hub)?;
        self.make_room(&plan, staging, options)?;
        download.all(&plan.texts).await?;
        if plan.format == WeightFormat::Safetensors {
            // Refused before the weights, which are a thousand times larger, are fetched.
            staging.begin_model()?;
            place_all(staging, &plan.texts)?;
            let (id, folder) = (id.clone(), staging.model());
            run_blocking(move || check::texts(&id, &folder)).await?;
        }
        download.all(&plan.weights).await?;
        staging.begin_model()?;
        place_all(staging, &plan.texts)?;
        match (plan.format, plan.weights.as_slice()) {
            (WeightFormat::Gguf, [weights]) => staging.place(&weights.digest, GGUF_WEIGHTS)?,
            (_, weights) => place_all(staging, weights)?,
        }
        let origin = Origin::Hub {
            hub: hub.name(),
            repo: repo.as_str().to_owned(),
            revision: revision.to_owned(),
            commit: listing.commit.clone(),
            file: options.file.map(str::to_owned),
        };
        let manifest = finish_async(id, origin, staging, options).await?;
        plan.compare(&manifest, staging)?;
        Ok(manifest)
    }

    fn make_room(&self, plan: &Plan, staging: &Staging, options: &AddOptions<'_>) -> Result<(), StoreError> {
        let files = plan.texts.iter().chain(&plan.weights);
        let sum = |of: &dyn Fn(&Wanted) -> u64| files.clone().map(of).fold(0, u64::saturating_add);
        let bytes = sum(&|file| file.size);
        let kept = sum(&|file| staging.kept(&file.digest).min(file.size));
        options.check_size(bytes)?;
        space::check(self.root(), bytes - kept)?;
        options.progress.tell(Step::Planned {
            files: plan.texts.len() + plan.weights.len(),
            bytes,
            kept,
        });
        Ok(())
    }
}

fn place_all(staging: &Staging, files: &[Wanted]) -> Result<(), StoreError> {
    files
        .iter()
        .try_for_each(|file| staging.place(&file.digest, &file.path))
}

async fn finish_async(
    id: &ModelId,
    origin: Origin,
    staging: &Staging,
    options: &AddOptions<'_>,
) -> Result<Manifest, StoreError> {
    options.progress.tell(Step::Checking);
    let (id, folder, now) = (id.clone(), staging.model(), options.now);
    run_blocking(move || finish_folder(&id, origin, &folder, now)).await
}

/// The end of the way: makes what a GGUF's folder lacks, checks all of it, and writes the manifest.
/// Blocks.
///
/// # Errors
/// When it cannot be served.
pub(crate) fn finish(
    id: &ModelId,
    origin: Origin,
    staging: &Staging,
    options: &AddOptions<'_>,
) -> Result<Manifest, StoreError> {
    options.progress.tell(Step::Checking);
    finish_folder(id, origin, &staging.model(), options.now)
}

fn finish_folder(
    id: &ModelId,
    origin: Origin,
    folder: &Path,
    now: Timestamp,
) -> Result<Manifest, StoreError> {
    let gguf = folder.join(GGUF_WEIGHTS);
    if gguf.exists() {
        GgufModel::open(&gguf)
            .and_then(|model| model.write_files(folder))
            .map_err(|source| StoreError::Weights {
                id: id.clone(),
                source: Box::new(source),
            })?;
    }
    let facts = check::folder(id, folder)?;
    let manifest = Manifest::new(id.clone(), origin, now, facts, sums(folder)?);
    manifest.write(folder)?;
    Ok(manifest)
}

/// Names, sizes and checksums of a folder's files, those of the folders in it included.
fn sums(folder: &Path) -> Result<Vec<ModelFile>, StoreError> {
    let mut files = Vec::new();
    add_sums(folder, "", &mut files)?;
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}

fn add_sums(folder: &Path, before: &str, files: &mut Vec<ModelFile>) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(|source| StoreError::read(folder, source))? {
        let entry = entry.map_err(|source| StoreError::read(folder, source))?;
        let (path, name) = (
            entry.path(),
            format!("{before}{}", entry.file_name().to_string_lossy()),
        );
        if path.is_dir() {
            add_sums(&path, &format!("{name}/"), files)?;
            continue;
        }
        let summed = Summed::of(&path).map_err(|source| StoreError::read(&path, source))?;
        files.push(ModelFile {
            name,
            size: summed.size,
            sha256: summed.sha256,
        });
    }
    Ok(())
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| StoreError::read("the model's folder", std::io::Error::other(error)))?
}
