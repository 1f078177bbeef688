//! Master keys and their written form.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::TryRng as _;
use rand::rngs::SysRng;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use sha2::{Digest as _, Sha256};
use silica_types::Secret;
use zeroize::Zeroizing;

use crate::PlatformError;

/// The bytes of a master key.
const BYTES: usize = 32;
/// Bytes of the hash that a key is named by. It tells keys apart and nothing about them.
const ID_BYTES: usize = 8;
/// The most keys that are held at once; a rotation needs two.
const KEYS: usize = 16;

/// A text that is no list of master keys. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMasterKey {
    /// One of the keys has another form.
    #[error(
        "master key {0} is not 32 bytes in base64 (44 characters) or hexadecimal (64 digits); \
         make one with: openssl rand -base64 32"
    )]
    Key(usize),
    /// There is no key.
    #[error("there is no master key")]
    Missing,
    /// There are too many.
    #[error("there are more than {KEYS} master keys")]
    TooMany,
}

/// The key that seals upstream keys.
pub struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; BYTES]>,
    cipher: LessSafeKey,
}

impl MasterKey {
    /// Makes a key from the operating system's random source.
    ///
    /// # Errors
    /// [`PlatformError::Random`].
    pub fn random() -> Result<Self, PlatformError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        SysRng
            .try_fill_bytes(&mut *bytes)
            .map_err(PlatformError::Random)?;
        Self::new(bytes).ok_or(PlatformError::Sealing)
    }

    /// Its public name: 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its written form, base64.
    pub fn text(&self) -> Secret {
        Secret::new(BASE64.encode(self.bytes.as_slice()))
    }

    pub(super) const fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }

    fn new(bytes: Zeroizing<[u8; BYTES]>) -> Option<Self> {
        let mut hash = Sha256::new_with_prefix(b"silica master key id");
        hash.update(bytes.as_slice());
        let id = hash
            .finalize()
            .iter()
            .take(ID_BYTES)
            .fold(String::with_capacity(2 * ID_BYTES), |id, byte| {
                format!("{id}{byte:02x}")
            });
        let cipher = UnboundKey::new(&AES_256_GCM, &*bytes).ok()?;
        Some(Self {
            id,
            bytes,
            cipher: LessSafeKey::new(cipher),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        if text.len() == 2 * BYTES {
            for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                let digits = str::from_utf8(digits).ok()?;
                // Else "+f" would do.
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                *byte = u8::from_str_radix(digits, 16).ok()?;
            }
        } else {
            let decoded = Zeroizing::new(BASE64.decode(text).ok()?);
            bytes.copy_from_slice(decoded.get(..BYTES).filter(|_| decoded.len() == BYTES)?);
        }
        Self::new(bytes)
    }
}

/// Shows the id only.
impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({})", self.id)
    }
}

/// One or more master keys: the first seals, all of them open.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    first: Arc<MasterKey>,
    others: Vec<Arc<MasterKey>>,
}

impl From<MasterKey> for MasterKeys {
    fn from(key: MasterKey) -> Self {
        Self {
            first: Arc::new(key),
            others: Vec::new(),
        }
    }
}

impl MasterKeys {
    /// Reads keys that are parted by commas or line ends; lines that begin with `#` are comments.
    ///
    /// # Errors
    /// [`MalformedMasterKey`], which counts the keys from 1.
    pub fn parse(text: &str) -> Result<Self, MalformedMasterKey> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let texts = lines
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let keys = (1..).zip(texts).map(|(number, text)| {
            MasterKey::parse(text)
                .map(Arc::new)
                .ok_or(MalformedMasterKey::Key(number))
        });
        let mut keys = keys.take(KEYS + 1);
        let first = keys.next().ok_or(MalformedMasterKey::Missing)??;
        let others: Vec<_> = keys.collect::<Result<_, _>>()?;
        if others.len() >= KEYS {
            return Err(MalformedMasterKey::TooMany);
        }
        Ok(Self { first, others })
    }

    /// The keys in their written form, a line each.
    pub fn text(&self) -> Secret {
        let lines = self.iter().map(|key| format!("{}\n", key.text().expose()));
        Secret::new(lines.collect::<String>())
    }

    /// The key that seals.
    pub fn first(&self) -> &MasterKey {
        &self.first
    }

    /// The same keys behind a new first one; a key that is there twice counts once.
    #[must_use]
    pub fn behind(&self, first: &Self) -> Self {
        let mut keys = first.clone();
        for key in self.iter() {
            if keys.find(key.id()).is_none() {
                keys.others.push(Arc::clone(key));
            }
        }
        keys
    }

    /// The first key alone.
    #[must_use]
    pub fn only_first(&self) -> Self {
        Self {
            first: Arc::clone(&self.first),
            others: Vec::new(),
        }
    }

    /// Looks a key up by its id.
    pub fn find(&self, id: &str) -> Option<&MasterKey> {
        self.iter().find(|key| key.id() == id).map(AsRef::as_ref)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        1 + self.others.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<MasterKey>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_base64_and_hexadecimal() {
        let hexadecimal = "00".repeat(31) + "fF";
        let base64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=";
        let keys = MasterKeys::parse(&hexadecimal).unwrap();
        assert_eq!(keys.first().id(), MasterKeys::parse(base64).unwrap().first().id());
        assert_eq!(keys.text().expose(), format!("{base64}\n"));
    }

    #[test]
    fn the_first_of_several_keys_seals_and_comments_are_skipped() {
        let keys = [MasterKey::random().unwrap(), MasterKey::random().unwrap()];
        for separator in ["\n", ",", " , ", "\r\n# old\n\n"] {
            let text = keys
                .each_ref()
                .map(|key| key.text().expose().to_owned())
                .join(separator);
            let read = MasterKeys::parse(&text).unwrap();
            assert_eq!(read.first().id(), keys[0].id(), "{separator:?}");
            assert!(read.find(keys[1].id()).is_some(), "{separator:?}");
            assert!(read.only_first().find(keys[1].id()).is_none());
        }
    }

    #[test]
    fn texts_that_are_no_key_are_refused_by_number_and_not_repeated() {
        let good = MasterKey::random().unwrap().text();
        for (bad, error) in [
            ("", MalformedMasterKey::Missing),
            ("# nothing\n", MalformedMasterKey::Missing),
            ("geheim", MalformedMasterKey::Key(1)),
            (&format!("{},geheim", good.expose()), MalformedMasterKey::Key(2)),
            (&"+f".repeat(32), MalformedMasterKey::Key(1)),
            (&"é".repeat(32), MalformedMasterKey::Key(1)),
            (&"AAAA".repeat(11), MalformedMasterKey::Key(1)),
            (
                &format!("{},", good.expose()).repeat(17),
                MalformedMasterKey::TooMany,
            ),
        ] {
            let refused = MasterKeys::parse(bad).unwrap_err();
            assert_eq!(refused, error, "{bad}");
            assert!(!refused.to_string().contains("geheim"));
        }
    }

    #[test]
    fn debug_shows_ids_only() {
        let keys = MasterKeys::from(MasterKey::random().unwrap());
        let shown = format!("{keys:?}");
        assert!(shown.contains(keys.first().id()) && !shown.contains(keys.text().expose().trim()));
    }
}
