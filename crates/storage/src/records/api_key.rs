//! API keys: a public id and the hash of a secret that is shown once.

use std::fmt;

use jiff::Timestamp;
use silica_billing::KeyLimits;
use silica_types::{AccountId, ApiKeyId, code_enum};

code_enum! {
    /// Whether a key opens its account.
    KeyStatus, "key status", {
        /// Works.
        Normal = "normal",
        /// Refused until it is enabled again.
        Disabled = "disabled",
        /// Refused for good. The row stays so that old calls keep the name of their key.
        Deleted = "deleted",
    }
}

/// The SHA-256 of a key's text.
///
/// A fast hash is enough: the text has 225 bits from the operating system's random source, so
/// there is no dictionary to try, and a slow hash would only slow every call down.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// Shows nothing: even a hash says which key a log line belongs to.
impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash(***)")
    }
}

/// One API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// The account that it opens.
    pub account: AccountId,
    /// The hash of its text; unique.
    pub hash: KeyHash,
    /// The last characters of its text, so that the holder recognises it.
    pub hint: String,
    /// What the holder wrote about it.
    pub description: String,
    /// Whether it works.
    pub status: KeyStatus,
    /// Limits of this key below those of its account; `None` means none of its own.
    pub limits: Option<KeyLimits>,
    /// When it stops working, whole microseconds; `None` means never.
    pub expires_at: Option<Timestamp>,
    /// When it was made, whole microseconds.
    pub created_at: Timestamp,
    /// When it was last changed, whole microseconds.
    pub updated_at: Timestamp,
}
