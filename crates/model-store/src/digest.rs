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

    /// The checksum of a file, of the kind that this one is. Blocks.
    pub(crate) fn like(&self, path: &Path) -> io::Result<Self> {
        match self {
            Self::Sha256(_) => Summed::of(path).map(|summed| Self::Sha256(summed.sha256)),
            Self::GitSha1(_) => {
                let mut file = File::open(path)?;
                let mut sha1 = Sha1::new();
                sha1.update(format!("blob {}\0", file.metadata()?.len()));
                read_blocks(&mut file, |bytes| sha1.update(bytes))?;
                Ok(Self::GitSha1(hex(&sha1.finalize())))
            }
        }
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

/// A file's size and SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summed {
    pub(crate) size: u64,
    /// Hexadecimal digits.
    pub(crate) sha256: String,
}

impl Summed {
    /// Reads a file from its beginning to its end. Blocks.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut sha256 = Sha256::new();
        let size = read_blocks(&mut File::open(path)?, |bytes| sha256.update(bytes))?;
        Ok(Self {
            size,
            sha256: hex(&sha256.finalize()),
        })
    }
}

/// Gives all of a file, a block at a time, and returns its length.
fn read_blocks(file: &mut File, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut read = 0;
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            return Ok(read);
        }
        take(block.get(..count).unwrap_or_default());
        read += count as u64;
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
        assert_eq!(Summed::of(&path).unwrap().size, 6);
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for digest in [
            Digest::sha256(sha256).unwrap(),
            Digest::git_sha1("ce013625030ba8dba906f756967f9e9ca394464a").unwrap(),
        ] {
            assert_eq!(digest.like(&path).unwrap(), digest);
        }
        let other = Digest::git_sha1(&"0".repeat(40)).unwrap();
        assert_ne!(other.like(&path).unwrap(), other);
    }

    /// As `head -c 67108865 /dev/zero | git hash-object --stdin` says.
    #[test]
    fn large_files_have_an_id_of_git_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
        let listed = Digest::git_sha1("4d38bbd52d336b129cf35f58f8af683f6134ad0d").unwrap();
        assert_eq!(listed.like(&path).unwrap(), listed);
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
