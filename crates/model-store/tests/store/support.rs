//! What the tests share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use silica_model_store::{
    AddOptions, Hub, HubOptions, Manifest, ModelId, Progress, Silent, Step, Store, StoreError,
};
use silica_testkit::ModelHub;
use silica_types::{Clock as _, Secret, SystemClock};
use tempfile::TempDir;

/// The repository of the tests.
pub(crate) const REPO: &str = "silica/tiny-chat";

/// The model that ships with Silica.
pub(crate) fn tiny_chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-chat")
}

/// A small GGUF file.
pub(crate) fn gguf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine-candle/tests/fixtures/gguf/qwen2/model-f16.gguf")
}

/// A hub with the model in [`REPO`], beside files that nobody needs.
pub(crate) async fn hub_with_tiny_chat() -> ModelHub {
    let hub = ModelHub::start().await;
    hub.put_folder(REPO, &tiny_chat());
    hub.put(REPO, "README.md", "# A model");
    hub.put(REPO, "pytorch_model.bin", "pickles");
    hub.put(REPO, "onnx/model.safetensors", "another form");
    hub
}

/// Options for a hub of this machine, which do not wait long.
pub(crate) fn options(address: &str) -> HubOptions {
    HubOptions {
        allow_private: true,
        stall_limit: Duration::from_secs(20),
        attempts: 3,
        first_pause: Duration::from_millis(1),
        ..HubOptions::new(address.parse().unwrap())
    }
}

pub(crate) fn id(text: &str) -> ModelId {
    ModelId::new(text).unwrap()
}

/// A store in a folder of its own.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("models"));
        fs::create_dir(store.root()).unwrap();
        Self { folder, store }
    }

    /// Adds [`REPO`] under its own name.
    pub(crate) async fn add(&self, options: HubOptions) -> Result<Manifest, StoreError> {
        self.add_with(options, &adding(&Silent)).await
    }

    pub(crate) async fn add_with(
        &self,
        options: HubOptions,
        adding: &AddOptions<'_>,
    ) -> Result<Manifest, StoreError> {
        let hub = Hub::new(options)?;
        self.store.add_from_hub(&id(REPO), &hub, &id(REPO), adding).await
    }

    /// Everything in the store, by path below it, with its size; folders end with a slash.
    pub(crate) fn content(&self) -> BTreeMap<String, u64> {
        let mut content = BTreeMap::new();
        walk(self.store.root(), "", &mut content);
        content
    }

    /// Whether nothing of any model is there, finished or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.content().keys().all(|path| path == ".partial/")
    }
}

fn walk(folder: &Path, below: &str, content: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            content.insert(format!("{name}/"), 0);
            walk(&entry.path(), &format!("{name}/"), content);
        } else {
            content.insert(name, metadata.len());
        }
    }
}

/// Takes any model, and tells `progress`.
pub(crate) fn adding(progress: &dyn Progress) -> AddOptions<'_> {
    AddOptions {
        revision: None,
        file: None,
        max_bytes: 1 << 30,
        now: SystemClock.now(),
        progress,
    }
}

/// Remembers the steps, without single bytes.
#[derive(Default)]
pub(crate) struct Steps {
    told: Mutex<Vec<String>>,
    bytes: Mutex<i64>,
}

impl Steps {
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// What came, less what was lost.
    pub(crate) fn bytes(&self) -> i64 {
        *self.bytes.lock().unwrap()
    }
}

impl Progress for Steps {
    fn tell(&self, step: Step<'_>) {
        match step {
            Step::Bytes(count) => *self.bytes.lock().unwrap() += i64::try_from(count).unwrap(),
            Step::Lost(count) => *self.bytes.lock().unwrap() -= i64::try_from(count).unwrap(),
            other => self.told.lock().unwrap().push(format!("{other:?}")),
        }
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text)
}

/// Whether a path's last part ends with a dot and this.
pub(crate) fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == wanted)
}

/// An error with its causes, as a person reads it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
