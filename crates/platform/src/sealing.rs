//! Upstream keys as they lie in the database: sealed with a master key that the database never has.
//!
//! AES-256-GCM. The sealed text is `sealed:v1:<id of the master key>:<base64 of nonce and
//! ciphertext>`, and is bound to the deployment's name and the replica's url: moved to another
//! replica, whose server would learn the key, it does not open. A nonce is 96 random bits, good for
//! 2^32 keys sealed by one master key.

mod master_key;
mod vault;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::TryRng as _;
use rand::rngs::SysRng;
use ring::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce};
use silica_storage::ReplicaSpec;
use silica_types::Secret;
use zeroize::Zeroizing;

use crate::PlatformError;

pub use master_key::{MalformedMasterKey, MasterKey, MasterKeys};
pub(crate) use vault::Vault;
pub use vault::{MasterKeySource, Resealed, reseal_upstream_keys};

/// How every sealed text begins, whatever its version. No key that an operator gives may.
pub(crate) const MARK: &str = "sealed:";
const VERSION: &str = "v1:";
/// Tells these sealed texts from anything else that the master key may seal one day.
const PURPOSE: &[u8] = b"silica upstream key v1";

/// Why a sealed text does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another master key is needed.
    #[error("it is sealed with master key {0}, which this server does not have")]
    UnknownKey(String),
    /// The text, or where it stands, is not as it was when it was sealed.
    #[error("it was changed, or was sealed for another deployment or url")]
    Refused,
    /// The text has not the form of a sealed one.
    #[error("it has not the form of a sealed key that this version knows")]
    Malformed,
}

/// An upstream key that was stored sealed and could not be opened, so the replica cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored api_key is sealed with master key {key_id} and cannot be opened: bring that key back \
     (file master-key in the data folder, or SILICA_MASTER_KEY), or put the deployment again with its api_key"
)]
pub struct UnopenedKey {
    /// The id of the master key that is needed, or `?` when the text does not say.
    pub key_id: String,
}

/// Says why a replica cannot be called, when its stored key could not be opened.
pub fn unopened_key(replica: &ReplicaSpec) -> Option<UnopenedKey> {
    let key = replica.api_key.as_ref().filter(|key| is_sealed(key))?;
    let key_id = parse(key).map_or("?", |(key_id, _)| key_id).to_owned();
    Some(UnopenedKey { key_id })
}

/// Whether a text is a sealed one, also of a version that this one does not know.
pub(crate) fn is_sealed(key: &Secret) -> bool {
    // Only the mark is looked at.
    key.expose().starts_with(MARK)
}

/// Where an upstream key belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'owner> {
    /// The deployment's name.
    pub(crate) deployment: &'owner str,
    /// The replica's address.
    pub(crate) url: Option<&'owner str>,
}

impl Owner<'_> {
    /// What the sealed text is bound to. The length keeps name and url apart.
    fn associated_data(self) -> Aad<Vec<u8>> {
        let mut data = PURPOSE.to_vec();
        data.extend_from_slice(&self.deployment.len().to_be_bytes());
        data.extend_from_slice(self.deployment.as_bytes());
        match self.url {
            None => data.push(0),
            Some(url) => {
                data.push(1);
                data.extend_from_slice(url.as_bytes());
            }
        }
        Aad::from(data)
    }
}

/// Seals a key with the first of the master keys.
///
/// # Errors
/// [`PlatformError::Random`], or [`PlatformError::Sealing`] for a key of absurd length.
pub(crate) fn seal(keys: &MasterKeys, owner: Owner<'_>, key: &Secret) -> Result<Secret, PlatformError> {
    let mut nonce = [0; NONCE_LEN];
    SysRng.try_fill_bytes(&mut nonce).map_err(PlatformError::Random)?;
    let mut sealed = nonce.to_vec();
    // Exposed to be encrypted; the copy is overwritten by its ciphertext.
    // The room for the tag keeps it from moving, which would leave a copy behind.
    let mut text = Vec::with_capacity(key.expose().len() + AES_256_GCM.tag_len());
    text.extend_from_slice(key.expose().as_bytes());
    let master = keys.first();
    master
        .cipher()
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            owner.associated_data(),
            &mut text,
        )
        .map_err(|_| PlatformError::Sealing)?;
    sealed.append(&mut text);
    let (id, sealed) = (master.id(), BASE64.encode(sealed));
    Ok(Secret::new(format!("{MARK}{VERSION}{id}:{sealed}")))
}

/// Opens a sealed key with whichever of the master keys sealed it.
///
/// # Errors
/// [`OpenError`]: see its variants.
pub(crate) fn open(keys: &MasterKeys, owner: Owner<'_>, sealed: &Secret) -> Result<Secret, OpenError> {
    let (key_id, body) = parse(sealed).ok_or(OpenError::Malformed)?;
    let master = keys
        .find(key_id)
        .ok_or_else(|| OpenError::UnknownKey(key_id.chars().take(64).collect()))?;
    let body = BASE64.decode(body).map_err(|_| OpenError::Malformed)?;
    let (nonce, sealed) = body.split_first_chunk().ok_or(OpenError::Malformed)?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let opened = master
        .cipher()
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            owner.associated_data(),
            &mut sealed,
        )
        .map_err(|_| OpenError::Refused)?;
    let text = str::from_utf8(opened).map_err(|_| OpenError::Malformed)?;
    Ok(Secret::new(text))
}

/// Returns the id of the master key, and the base64 text.
fn parse(sealed: &Secret) -> Option<(&str, &str)> {
    // Sealed, it is no secret.
    let rest = sealed.expose().strip_prefix(MARK)?.strip_prefix(VERSION)?;
    rest.split_once(':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNER: Owner<'_> = Owner {
        deployment: "chat",
        url: Some("https://a.example/v1"),
    };

    fn keys() -> MasterKeys {
        MasterKeys::from(MasterKey::random().unwrap())
    }

    #[test]
    fn a_sealed_key_opens_where_it_was_sealed_and_shows_nothing_of_itself() {
        let keys = keys();
        let sealed = seal(&keys, OWNER, &Secret::new("sk-geheim")).unwrap();
        let start = format!("sealed:v1:{}:", keys.first().id());
        assert!(sealed.expose().starts_with(&start) && !sealed.expose().contains("geheim"));
        assert_eq!(open(&keys, OWNER, &sealed), Ok(Secret::new("sk-geheim")));
        let again = seal(&keys, OWNER, &Secret::new("sk-geheim")).unwrap();
        assert_ne!(sealed, again, "every sealing has a nonce of its own");
    }

    #[test]
    fn a_sealed_key_that_is_moved_does_not_open() {
        let keys = keys();
        let sealed = seal(&keys, OWNER, &Secret::new("sk-geheim")).unwrap();
        for (deployment, url) in [
            ("other", OWNER.url),
            ("chat", Some("https://evil.example/v1")),
            ("chat", None),
            ("chathttps://a", Some(".example/v1")),
        ] {
            let moved = Owner { deployment, url };
            assert_eq!(open(&keys, moved, &sealed), Err(OpenError::Refused), "{moved:?}");
        }
    }

    #[test]
    fn a_key_sealed_with_another_master_key_names_the_one_it_needs() {
        let other = keys();
        let sealed = seal(&other, OWNER, &Secret::new("sk-geheim")).unwrap();
        let id = other.first().id().to_owned();
        assert_eq!(
            open(&keys(), OWNER, &sealed),
            Err(OpenError::UnknownKey(id.clone()))
        );
        // With the right id in front of the wrong key.
        let ours = keys();
        let forged = sealed.expose().replace(&id, ours.first().id());
        assert_eq!(open(&ours, OWNER, &Secret::new(forged)), Err(OpenError::Refused));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let keys = keys();
        let sealed = seal(&keys, OWNER, &Secret::new("sk-geheim")).unwrap();
        for position in 0..sealed.expose().len() {
            let mut bytes = sealed.expose().as_bytes().to_vec();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = Secret::new(String::from_utf8(bytes).unwrap());
            assert!(open(&keys, OWNER, &changed).is_err(), "position {position}");
        }
        for length in 0..sealed.expose().len() {
            let cut = Secret::new(&sealed.expose()[..length]);
            assert!(open(&keys, OWNER, &cut).is_err(), "length {length}");
        }
    }

    proptest! {
        #[test]
        fn any_key_comes_back_and_any_text_is_refused_without_harm(key in "\\PC{0,300}", noise in "\\PC{0,80}") {
            let keys = keys();
            let key = Secret::new(key);
            let sealed = seal(&keys, OWNER, &key).unwrap();
            prop_assert_eq!(open(&keys, OWNER, &sealed), Ok(key));
            let noise = Secret::new(format!("sealed:v1:{}:{noise}", keys.first().id()));
            prop_assert!(open(&keys, OWNER, &noise).is_err());
        }
    }
}
