//! The beginning of a file, on the disk.

use std::io::SeekFrom;
use std::path::PathBuf;

use http::HeaderValue;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::StoreError;
use crate::digest::Digest;
use crate::staging::Staging;

/// How much is written at a time; the most that an end of the process costs.
const BLOCK_BYTES: usize = 1 << 20;

/// A file that grows at its end.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    tag_path: PathBuf,
    /// Bytes in the file.
    written: u64,
    /// Bytes that follow.
    block: Vec<u8>,
    /// What the server called the content that this is the beginning of.
    tag: Option<HeaderValue>,
}

impl Part {
    /// Opens what an earlier try has left, or begins.
    pub(super) async fn open(staging: &Staging, digest: &Digest) -> Result<Self, StoreError> {
        let (path, tag_path) = (staging.part(digest), staging.tag(digest));
        let opening = async {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let mut file = options.open(&path).await?;
            let written = file.seek(SeekFrom::End(0)).await?;
            Ok((file, written))
        };
        let (file, written) = opening.await.map_err(|source| StoreError::write(&path, source))?;
        let tag = fs::read(&tag_path).await.ok();
        Ok(Self {
            file,
            path,
            tag_path,
            written,
            block: Vec::new(),
            tag: tag.and_then(|tag| HeaderValue::from_bytes(&tag).ok()),
        })
    }

    /// Bytes that are there.
    pub(super) const fn length(&self) -> u64 {
        self.written + self.block.len() as u64
    }

    pub(super) const fn tag(&self) -> Option<&HeaderValue> {
        self.tag.as_ref()
    }

    /// Remembers what the content is called, before any of it is written.
    pub(super) async fn keep_tag(&mut self, tag: Option<&HeaderValue>) -> Result<(), StoreError> {
        self.tag = tag.cloned();
        let kept = match tag {
            Some(tag) => fs::write(&self.tag_path, tag.as_bytes()).await,
            None => remove(&self.tag_path).await,
        };
        kept.map_err(|source| StoreError::write(&self.tag_path, source))
    }

    pub(super) async fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what has come.
    ///
    /// # Errors
    /// When it cannot be written. Then it never came: the part is as long as before, and can grow
    /// on.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        let writing = async {
            self.file.write_all(&self.block).await?;
            // The file hands its work to another thread, and tells of a full disk only here.
            self.file.flush().await
        };
        if let Err(source) = writing.await {
            self.take_back().await;
            return Err(StoreError::write(&self.path, source));
        }
        self.written = self.length();
        self.block.clear();
        Ok(())
    }

    /// Forgets what was not written as a whole.
    async fn take_back(&mut self) {
        self.block.clear();
        // Where even this fails, what lies behind is the beginning of the same content, and whoever
        // opens the file next measures it.
        let _cut = self.file.set_len(self.written).await;
        let _moved = self.file.seek(SeekFrom::Start(self.written)).await;
    }

    /// Begins again.
    pub(super) async fn restart(&mut self) -> Result<(), StoreError> {
        self.block.clear();
        let emptying = async {
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        let emptied = emptying.await;
        self.written = emptied.map_err(|source| StoreError::write(&self.path, source))?;
        self.keep_tag(None).await
    }

    /// Takes the file away.
    pub(super) async fn delete(&mut self) -> Result<(), StoreError> {
        self.restart().await?;
        let removed = remove(&self.path).await;
        removed.map_err(|source| StoreError::write(&self.path, source))
    }

    /// Makes sure that it is on the disk.
    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        self.flush().await?;
        let synced = self.file.sync_all().await;
        synced.map_err(|source| StoreError::write(&self.path, source))
    }
}

async fn remove(path: &PathBuf) -> std::io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ModelId;

    fn staging(store: &std::path::Path) -> (Staging, Digest) {
        let staging = Staging::claim(store, &ModelId::new("a/b").unwrap()).unwrap();
        staging.make_blobs().unwrap();
        (staging, Digest::sha256(&"0".repeat(64)).unwrap())
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_full_disk_did_not_take_is_not_counted_and_not_written_again() {
        let store = tempfile::tempdir().unwrap();
        let (staging, digest) = staging(store.path());
        symlink("/dev/full", staging.part(&digest)).unwrap();
        let mut part = Part::open(&staging, &digest).await.unwrap();
        let refused = part.append(&vec![1; BLOCK_BYTES]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
        assert_eq!(part.length(), 0);
        part.flush().await.unwrap();
    }

    #[tokio::test]
    async fn a_write_that_stopped_half_way_is_taken_back() {
        let store = tempfile::tempdir().unwrap();
        let (staging, digest) = staging(store.path());
        let mut part = Part::open(&staging, &digest).await.unwrap();
        part.append(b"begin").await.unwrap();
        part.flush().await.unwrap();
        // Two of the bytes that come next reach the file, and then the disk is full.
        part.append(b"ning").await.unwrap();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(staging.part(&digest))
            .unwrap();
        file.write_all(b"ni").unwrap();
        part.file.seek(SeekFrom::End(0)).await.unwrap();
        part.take_back().await;
        assert_eq!(part.length(), 5);
        part.append(b"ning").await.unwrap();
        part.flush().await.unwrap();
        assert_eq!(std::fs::read(staging.part(&digest)).unwrap(), b"beginning");
    }
}
