//! `addresses.json` in the data folder: where this server listens, for scripts and for port 0.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

/// The file, there as long as the server accepts connections.
#[derive(Debug)]
pub(super) struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes the file, replacing one that a killed server left behind.
    ///
    /// # Errors
    /// When the data folder is not writable.
    pub(super) fn write(data: &Path, public: SocketAddr, admin: SocketAddr) -> anyhow::Result<Self> {
        let path = data.join("addresses.json");
        let text = json!({ "public": format!("http://{public}"), "admin": format!("http://{admin}") });
        // Renamed into place, so that a reader never sees half of it.
        let unfinished = data.join("addresses.json.new");
        fs::write(&unfinished, format!("{text}\n"))
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "cannot remove {}", self.0.display());
        }
    }
}
