//! `addresses.json` in the data folder: where this server listens, for scripts and for port 0.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

/// The file, there as long as the server accepts connections.
#[derive(Debug)]
pub(super) struct AddressFile {
    path: PathBuf,
    text: String,
}

impl AddressFile {
    /// Writes the file, replacing one that a killed server left behind.
    ///
    /// # Errors
    /// When the data folder is not writable.
    pub(super) fn write(data: &Path, public: SocketAddr, admin: SocketAddr) -> anyhow::Result<Self> {
        let path = data.join("addresses.json");
        let addresses = json!({ "public": format!("http://{public}"), "admin": format!("http://{admin}") });
        let text = format!("{addresses}\n");
        // Renamed into place, so that a reader never sees half of it.
        let unfinished = data.join("addresses.json.new");
        fs::write(&unfinished, &text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, text })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Only our own: someone may have put another server's file in its place.
        match fs::read_to_string(&self.path) {
            Ok(text) if text == self.text => {}
            Ok(_) | Err(_) => return,
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove {}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_its_server_and_another_servers_file_stays() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("addresses.json");
        let write = |port: u16| {
            let public = SocketAddr::from(([127, 0, 0, 1], port));
            AddressFile::write(data.path(), public, public).unwrap()
        };
        drop(write(1));
        assert!(!path.exists());
        let first = write(1);
        let second = write(2);
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
