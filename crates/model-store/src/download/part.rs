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
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        let writing = async {
            self.file.write_all(&self.block).await?;
            // The file hands its work to another thread, and tells of a full disk only here.
            self.file.flush().await
        };
        let written = writing.await;
        written.map_err(|source| StoreError::write(&self.path, source))?;
        self.written = self.length();
        self.block.clear();
        Ok(())
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
