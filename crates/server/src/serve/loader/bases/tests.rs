use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use silica_engine_candle::{CandleOptions, Dtype, Quantization};
use tempfile::TempDir;

use super::*;

/// A copy of a tiny model, and what was loaded of it.
struct Model {
    folder: TempDir,
    bases: Bases,
    loads: AtomicUsize,
}

impl Model {
    fn new() -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine-candle/tests/fixtures/qwen3");
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::copy(fixture.join(name), folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            bases: Bases::default(),
            loads: AtomicUsize::new(0),
        }
    }

    fn key(&self) -> Key {
        Key {
            model: self.folder.path().to_owned(),
            precision: Dtype::F32.into(),
        }
    }

    fn lease(&self, tenant: Tenant) -> Lease {
        self.lease_of(&self.key(), tenant)
    }

    fn lease_of(&self, key: &Key, tenant: Tenant) -> Lease {
        let load = || {
            self.loads.fetch_add(1, Ordering::SeqCst);
            let options = CandleOptions {
                threads: Some(1),
                kv_cache_mb: 1,
                ..CandleOptions::default()
            };
            CandleEngine::load(self.folder.path(), options).map_err(LoadError::engine)
        };
        self.bases.lease(key, tenant, load).unwrap()
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

fn same(left: &Lease, right: &Lease) -> bool {
    Arc::ptr_eq(left.engine(), right.engine())
}

#[test]
fn adapters_join_the_first_engine_of_their_model_and_plain_replicas_have_their_own() {
    let model = Model::new();
    let (first, second) = (model.lease(Tenant::Plain), model.lease(Tenant::Plain));
    assert!(
        !same(&first, &second),
        "two replicas of one model are two engines"
    );
    let adapted = [(); 3].map(|()| model.lease(Tenant::Adapted));
    assert!(adapted.iter().all(|adapted| same(adapted, &first)));
    assert_eq!(model.loads(), 2);
    // The plain one goes, the engine stays; the next plain one takes the place.
    drop(first);
    let third = model.lease(Tenant::Plain);
    assert!(same(&third, &adapted[0]));
    assert_eq!(model.loads(), 2);
}

#[test]
fn a_plain_replica_takes_the_engine_that_an_adapter_has_started() {
    let model = Model::new();
    let adapted = model.lease(Tenant::Adapted);
    let plain = model.lease(Tenant::Plain);
    assert!(same(&adapted, &plain));
    assert!(!same(&adapted, &model.lease(Tenant::Plain)), "but only one does");
}

#[test]
fn an_engine_ends_with_the_last_of_its_replicas_and_leaves_nothing() {
    let model = Model::new();
    let (plain, adapted) = (model.lease(Tenant::Plain), model.lease(Tenant::Adapted));
    let engine = Arc::downgrade(plain.engine());
    drop(plain);
    assert!(engine.upgrade().is_some());
    drop(adapted);
    assert!(engine.upgrade().is_none());
    let again = model.lease(Tenant::Adapted);
    assert_eq!(model.loads(), 2);
    assert_eq!(lock(&model.bases.0).len(), 1);
    drop(again);
}

#[test]
fn a_load_that_fails_leaves_nothing_and_one_that_panics_locks_nobody_out() {
    let model = Model::new();
    let failed = model.bases.lease(&model.key(), Tenant::Adapted, || {
        Err(LoadError::engine("no memory"))
    });
    assert!(failed.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let load = || std::panic::panic_any("a defect");
        drop(model.bases.lease(&model.key(), Tenant::Adapted, load));
    }));
    assert!(panicked.is_err());
    let lease = model.lease(Tenant::Adapted);
    assert!(same(&lease, &model.lease(Tenant::Plain)));
    assert_eq!(model.loads(), 1);
}

#[test]
fn another_precision_or_files_that_have_changed_are_loaded_anew() {
    let model = Model::new();
    let first = model.lease(Tenant::Adapted);
    let quantised = Key {
        precision: Precision {
            quantize: Some(Quantization::Q8_0),
            ..Precision::default()
        },
        ..model.key()
    };
    assert!(!same(&first, &model.lease_of(&quantised, Tenant::Adapted)));
    // Files that an engine is not made of change nothing.
    fs::write(model.folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(same(&first, &model.lease(Tenant::Adapted)));
    let config = model.folder.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n")).unwrap();
    let second = model.lease(Tenant::Adapted);
    assert!(!same(&first, &second), "the length is another");
    let weights = fs::File::options()
        .append(true)
        .open(model.folder.path().join("model.safetensors"))
        .unwrap();
    weights.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let third = model.lease(Tenant::Adapted);
    assert!(!same(&second, &third), "the time is another");
    assert!(same(&third, &model.lease(Tenant::Adapted)));
}

#[test]
fn replicas_that_come_at_the_same_time_load_once() {
    let model = Model::new();
    let barrier = Barrier::new(4);
    let leases: Vec<_> = std::thread::scope(|scope| {
        let come = || {
            barrier.wait();
            model.lease(Tenant::Adapted)
        };
        let threads = [(); 4].map(|()| scope.spawn(come));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert!(leases.iter().all(|lease| same(lease, &leases[0])));
    assert_eq!(model.loads(), 1);
}
