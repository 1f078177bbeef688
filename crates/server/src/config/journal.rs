//! `[journal]`: the usage journal, where settled calls wait for the database.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_platform::{JournalDurability, JournalOptions};

use super::{ByteSize, InvalidValue, at_least_one};

/// The usage journal: settled calls on local disk, before their answers end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JournalConfig {
    /// The journal's file, on a local disk of this machine. Unset: `journal/usage.db` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    /// What a settled call survives: `process` (committed to the operating system: the end of the
    /// process, however sudden) or `disk` (synced: a power cut as well, for more time per call).
    pub(crate) durability: Durability,
    /// Space that is taken from the disk at the start, so that running calls can be settled when it is full.
    pub(crate) preallocate: ByteSize,
    /// Free space on the journal's disk below which no new calls are admitted (503) until there is more.
    pub(crate) min_free: ByteSize,
    /// The size at which no new calls are admitted, when the database is away for long. An event takes about 600 bytes.
    pub(crate) max_size: ByteSize,
}

/// What a settled call survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// The end of the process.
    #[default]
    Process,
    /// A power cut.
    Disk,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            path: None,
            durability: Durability::Process,
            preallocate: ByteSize::mebibytes(16),
            min_free: ByteSize::mebibytes(64),
            max_size: ByteSize::mebibytes(1024),
        }
    }
}

impl JournalConfig {
    /// The journal's file for a server whose data folder is `data`.
    pub(crate) fn path(&self, data: &Path) -> PathBuf {
        self.path
            .clone()
            .unwrap_or_else(|| data.join("journal").join("usage.db"))
    }

    /// How to open it.
    pub(crate) fn options(&self, data: &Path) -> JournalOptions {
        JournalOptions {
            path: self.path(data),
            durability: match self.durability {
                Durability::Process => JournalDurability::Process,
                Durability::Disk => JournalDurability::Disk,
            },
            preallocate: self.preallocate.bytes(),
            min_free: self.min_free.bytes(),
            max_size: self.max_size.bytes(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("journal.preallocate", self.preallocate.bytes())?;
        if self.max_size.bytes() < self.preallocate.bytes() {
            return Err(InvalidValue {
                key: "journal.max_size",
                message: "must not be smaller than journal.preallocate".to_owned(),
            });
        }
        Ok(())
    }
}
