//! Engines that replicas share, so that a model's weights are in memory once for all of its adapters.
//!
//! An engine has at most one replica that answers with the model alone, and any number of replicas with adapters:
//! each of those joins an engine of its model that runs already, whoever's it is. So replicas without adapters
//! have engines, cache and places of their own, two of one folder as well, as they would were there no adapters.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use silica_engine::{EngineError, GenerateRequest, GenerateStream, TokenEngine};
use silica_engine_candle::{CandleEngine, Precision};
use silica_gateway::LoadError;
use silica_types::TokenCount;

/// The engines that run, by what they were loaded from. Holds them weakly: an engine ends with the last of its
/// replicas.
#[derive(Default)]
pub(super) struct Bases(Mutex<Vec<(Key, Weak<Place>)>>);

/// What a model is loaded from, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The folder or file, without links.
    pub(super) model: PathBuf,
    pub(super) precision: Precision,
}

/// What a replica answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenant {
    /// The model alone.
    Plain,
    /// The model with an adapter.
    Adapted,
}

/// The engines of one model. Whoever loads one holds them meanwhile, so that nobody else does at the same time.
#[derive(Default)]
struct Place(Mutex<Vec<Running>>);

struct Running {
    engine: Weak<CandleEngine>,
    /// Lives as long as the replica that answers with the model alone.
    plain: Weak<PlainMark>,
    files: Vec<FileState>,
}

struct PlainMark;

/// A replica's hold on an engine.
pub(super) struct Lease {
    engine: Arc<CandleEngine>,
    _plain: Option<Arc<PlainMark>>,
    /// So that others find the engine.
    _place: Arc<Place>,
}

/// An engine that answers a replica's calls, with the hold on what it runs on.
pub(super) struct Leased<E> {
    tokens: E,
    _lease: Lease,
}

/// Tells a file that was replaced or written since from the one that was loaded.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    path: PathBuf,
    length: u64,
    changed: Option<SystemTime>,
}

impl Bases {
    /// Returns an engine for a replica: one that runs, if it may be joined and the model's files are those that it
    /// was loaded from, else what `load` makes. Of several callers for one model only one loads at a time; blocks
    /// for as long as that takes.
    ///
    /// # Errors
    /// Those of `load`, which leave nothing behind.
    pub(super) fn lease(
        &self,
        key: &Key,
        tenant: Tenant,
        load: impl FnOnce() -> Result<CandleEngine, LoadError>,
    ) -> Result<Lease, LoadError> {
        let place = self.place(key);
        let mut engines = lock(&place.0);
        engines.retain(|running| running.engine.strong_count() > 0);
        // Before they are read: what is written meanwhile counts as changed.
        let files = files_of(&key.model);
        let joined = engines
            .iter_mut()
            .find_map(|running| running.join(tenant, &files));
        let (engine, plain) = if let Some(joined) = joined {
            joined
        } else {
            let engine = Arc::new(load()?);
            let plain = tenant.mark();
            engines.push(Running {
                engine: Arc::downgrade(&engine),
                plain: plain.as_ref().map(Arc::downgrade).unwrap_or_default(),
                files,
            });
            (engine, plain)
        };
        drop(engines);
        Ok(Lease {
            engine,
            _plain: plain,
            _place: place,
        })
    }

    fn place(&self, key: &Key) -> Arc<Place> {
        let mut places = lock(&self.0);
        places.retain(|(_, place)| place.strong_count() > 0);
        let known = places.iter().find(|(known, _)| known == key);
        if let Some(place) = known.and_then(|(_, place)| place.upgrade()) {
            return place;
        }
        let place = Arc::<Place>::default();
        places.push((key.clone(), Arc::downgrade(&place)));
        place
    }
}

impl Tenant {
    fn mark(self) -> Option<Arc<PlainMark>> {
        (self == Self::Plain).then(|| Arc::new(PlainMark))
    }
}

impl Running {
    /// The engine, if it runs, has these files and has room for such a replica.
    fn join(
        &mut self,
        tenant: Tenant,
        files: &[FileState],
    ) -> Option<(Arc<CandleEngine>, Option<Arc<PlainMark>>)> {
        let engine = self.engine.upgrade().filter(|engine| engine.is_running())?;
        let is_free = tenant == Tenant::Adapted || self.plain.strong_count() == 0;
        if !is_free || self.files != files {
            return None;
        }
        let mark = tenant.mark();
        if let Some(mark) = &mark {
            self.plain = Arc::downgrade(mark);
        }
        Some((engine, mark))
    }
}

impl Lease {
    /// The engine of the model.
    pub(super) fn engine(&self) -> &Arc<CandleEngine> {
        &self.engine
    }

    /// Keeps it for as long as what is computed with it.
    pub(super) fn with<E>(self, tokens: E) -> Leased<E> {
        Leased { tokens, _lease: self }
    }
}

impl<E: TokenEngine> TokenEngine for Leased<E> {
    fn context_length(&self) -> TokenCount {
        self.tokens.context_length()
    }

    fn vocabulary_size(&self) -> u32 {
        self.tokens.vocabulary_size()
    }

    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError> {
        self.tokens.generate(request)
    }
}

/// The files that an engine is loaded from. Those that only say how texts become tokens are read for each replica.
fn files_of(model: &Path) -> Vec<FileState> {
    let Ok(folder) = model.read_dir() else {
        return vec![FileState::of(model.to_owned(), model.metadata().ok())];
    };
    let is_loaded = |path: &Path| {
        let ends = |end| path.extension().is_some_and(|extension| extension == end);
        let name = path.file_name().unwrap_or_default();
        name == "config.json" || name == "model.safetensors.index.json" || ends("safetensors") || ends("gguf")
    };
    let mut files: Vec<_> = folder
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| is_loaded(path))
        .map(|path| {
            // Of what a link leads to: a hub's cache is full of them.
            let metadata = path.metadata().ok();
            FileState::of(path, metadata)
        })
        .collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

impl FileState {
    fn of(path: PathBuf, metadata: Option<Metadata>) -> Self {
        Self {
            path,
            length: metadata.as_ref().map_or(0, Metadata::len),
            changed: metadata.and_then(|metadata| metadata.modified().ok()),
        }
    }
}

/// What is guarded is whole between any two changes, also after a panic of `load`.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
