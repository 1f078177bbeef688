//! The models store: checked model folders below one folder, usually `models` in the data folder.
//!
//! A model gets in from a hub ([`Hub`]: Hugging Face, ModelScope, or a mirror of either), from a
//! folder or from a GGUF file ([`Source`]). The way in is the same for all:
//!
//! 1. stage: files arrive in `.partial/` of the store, by their checksums, and survive any end of
//!    the process (module `download`);
//! 2. check: sizes, checksums, and what the engine and the text layer need to find in the folder's
//!    headers and text files (module `check`). No file is ever executed or unpickled;
//! 3. publish: one rename. A folder in its place is a model that was checked; a model that was
//!    refused is not there.
//!
//! Beside its files a model has a manifest (`silica-model.json`): where it came from, what it is, and
//! the checksum of each file. This crate knows no catalogue and no deployments.

mod add;
mod check;
mod digest;
mod download;
mod error;
mod file_name;
mod hub;
mod id;
mod local;
mod manifest;
mod plan;
mod progress;
mod selection;
mod source;
mod space;
mod staging;
mod store;

pub use add::AddOptions;
pub use digest::Digest;
pub use error::{HubError, StoreError};
pub use file_name::UnsafeName;
pub use hub::{Dialect, Hub, HubAddress, HubOptions, InvalidHub};
pub use id::{InvalidModelId, ModelId};
pub use manifest::{MANIFEST, Manifest, ModelFacts, ModelFile, Origin, WeightFormat};
pub use progress::{Progress, Silent, Step};
pub use source::{InvalidSource, Source};
pub use store::{DamagedFile, Listed, Store};
