//! The text of a key: `sk-` and 48 lower-case letters (contract section 1.1).

use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use sha2::{Digest, Sha256};
use silica_storage::KeyHash;
use silica_types::Secret;
use zeroize::Zeroize;

const PREFIX: &str = "sk-";
const LETTERS: usize = 48;
/// The bytes below this map to the 26 letters evenly; the few above are drawn again.
const EVEN: u8 = 234;

/// Makes a new key from the operating system's random source: 48 letters, 225 bits.
///
/// # Errors
/// When the operating system gives no random bytes.
pub(crate) fn generate() -> Result<Secret, SysError> {
    let mut text = String::with_capacity(PREFIX.len() + LETTERS);
    text.push_str(PREFIX);
    let mut bytes = [0_u8; 64];
    while text.len() < PREFIX.len() + LETTERS {
        SysRng.try_fill_bytes(&mut bytes)?;
        let missing = PREFIX.len() + LETTERS - text.len();
        text.extend(
            bytes
                .iter()
                .filter(|byte| **byte < EVEN)
                .take(missing)
                .map(|byte| char::from(b'a' + byte % 26)),
        );
    }
    bytes.zeroize();
    Ok(Secret::new(text))
}

/// Hashes a key's text for the table and the database.
pub(crate) fn hash(text: &str) -> KeyHash {
    KeyHash(Sha256::digest(text.as_bytes()).into())
}

/// Returns the last four characters, by which the holder recognises the key.
pub(crate) fn hint(key: &Secret) -> String {
    // Four of 48 letters: the rest still has 206 bits.
    let text = key.expose();
    text.get(text.len().saturating_sub(4)..)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_have_the_documented_form_and_differ() {
        let mut seen = HashSet::new();
        let mut letters = HashSet::new();
        for _ in 0..200 {
            let key = generate().unwrap();
            let rest = key.expose().strip_prefix("sk-").unwrap();
            assert_eq!(rest.len(), 48);
            assert!(rest.bytes().all(|byte| byte.is_ascii_lowercase()));
            letters.extend(rest.chars());
            assert!(seen.insert(key.expose().to_owned()));
        }
        assert_eq!(letters.len(), 26, "every letter occurs");
    }

    #[test]
    fn hint_is_the_end_of_the_key() {
        assert_eq!(hint(&Secret::new("sk-abcdefgh")), "efgh");
    }
}
