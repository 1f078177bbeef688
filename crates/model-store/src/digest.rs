//! Checksums of files, as hubs give them.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// How much of a file is read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// A checksum of a file's content, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// SHA-256 of the content: files in Git LFS, and all files of ModelScope.
    Sha256(String),
    /// Git's id of the content: SHA-1 of `blob`, the size and the content. What the Hugging Face hub
    /// gives for small files. Good against accidents; SHA-1 does not stop an attacker.
    GitSha1(String),
}

impl Digest {
    /// Reads a SHA-256 as hubs write it.
    pub fn sha256(text: &str) -> Option<Self> {
        is_hex(text, 64).then(|| Self::Sha256(text.to_ascii_lowercase()))
    }

    /// Reads Git's id of a file.
    pub fn git_sha1(text: &str) -> Option<Self> {
        is_hex(text, 40).then(|| Self::GitSha1(text.to_ascii_lowercase()))
    }

    /// A name for what has this checksum.
    pub(crate) fn file_name(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitSha1(digits) => digits,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digits) => write!(formatter, "sha256 {digits}"),
            Self::GitSha1(digits) => write!(formatter, "git sha1 {digits}"),
        }
    }
}

/// The checksums of a file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summed {
    pub(crate) size: u64,
    /// Hexadecimal digits.
    pub(crate) sha256: String,
    /// Hexadecimal digits.
    git_sha1: String,
}

impl Summed {
    /// Reads a file from its beginning to its end. Blocks.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut sha256 = Sha256::new();
        let mut sha1 = Sha1::new();
        sha1.update(format!("blob {size}\0"));
        let mut block = vec![0; BLOCK_BYTES];
        let mut read = 0;
        loop {
            let count = file.read(&mut block)?;
            if count == 0 {
                break;
            }
            let bytes = block.get(..count).unwrap_or_default();
            sha256.update(bytes);
            // Small files only: for large ones no hub gives Git's id, and it would double the work.
            if size <= BLOCK_BYTES as u64 * 64 {
                sha1.update(bytes);
            }
            read += count as u64;
        }
        Ok(Self {
            size: read,
            sha256: hex(&sha256.finalize()),
            git_sha1: hex(&sha1.finalize()),
        })
    }

    /// Whether the content is the one with this checksum.
    pub(crate) fn is(&self, digest: &Digest) -> bool {
        match digest {
            Digest::Sha256(digits) => self.sha256 == *digits,
            Digest::GitSha1(digits) => self.git_sha1 == *digits,
        }
    }

    /// The checksum of the kind that `other` is.
    pub(crate) fn like(&self, other: &Digest) -> Digest {
        match other {
            Digest::Sha256(_) => Digest::Sha256(self.sha256.clone()),
            Digest::GitSha1(_) => Digest::GitSha1(self.git_sha1.clone()),
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_checksums_are_those_of_sha256sum_and_git_hash_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "hello\n").unwrap();
        let summed = Summed::of(&path).unwrap();
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert!(summed.is(&Digest::sha256(sha256).unwrap()));
        assert!(summed.is(&Digest::git_sha1("ce013625030ba8dba906f756967f9e9ca394464a").unwrap()));
        assert!(!summed.is(&Digest::git_sha1(&"0".repeat(40)).unwrap()));
        assert_eq!(summed.size, 6);
    }

    #[test]
    fn what_is_no_checksum_is_not_taken_for_one() {
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(63), "../../etc"] {
            assert_eq!(
                (Digest::sha256(text), Digest::git_sha1(text)),
                (None, None),
                "{text}"
            );
        }
    }
}
