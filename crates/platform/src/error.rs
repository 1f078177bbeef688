//! What the domain refuses, and why a key opens nothing.

use std::error::Error;

use silica_billing::Insufficient;
use silica_storage::{Conflict, StorageError};

/// A refused or failed operation on accounts, keys, models or deployments.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// A field has a value that the domain does not take.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field's path in the request, such as `replicas[0].path`.
        field: String,
        /// What is wrong with it and what would be right. Never holds an e-mail address or a secret.
        problem: String,
    },
    /// Nothing has that id.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// What was looked for, such as `account`.
        what: &'static str,
        /// The id that it was looked for by.
        id: String,
    },
    /// The change contradicts something that is stored.
    #[error(transparent)]
    Conflict(Conflict),
    /// The charge balance has less free than what is to be bought costs.
    #[error("the charge balance is insufficient: {} are needed and {} is free", .0.needed, .0.available)]
    Insufficient(Insufficient),
    /// Other deployments fall back to the one that is to go.
    #[error("{deployment} is a fallback of {of}; take it from their fallbacks first")]
    IsFallback {
        /// The deployment that is to go.
        deployment: String,
        /// The deployments that name it, with commas.
        of: String,
    },
    /// The catalogue file says what this is; a change by another way would not last.
    #[error("{what} {id} comes from the file {file}; change it there")]
    Managed {
        /// What is managed, such as `deployment`.
        what: &'static str,
        /// Its id.
        id: String,
        /// The file.
        file: String,
    },
    /// The database failed.
    #[error("the database is not available")]
    Storage(#[source] StorageError),
    /// The usage journal cannot be opened, or what the last run left in it cannot be applied.
    #[error("the usage journal cannot be used")]
    Journal(#[source] Box<dyn Error + Send + Sync>),
    /// What all nodes count together is out of reach, so nothing can be bought from it.
    #[error("balances cannot be asked for now")]
    Apart,
    /// The database takes too long for somebody who waits.
    #[error("the database does not answer in time")]
    TooSlow,
    /// The master key, which seals upstream keys, cannot be read.
    #[error("the master key cannot be read")]
    MasterKey(#[source] Box<dyn Error + Send + Sync>),
    /// An upstream key does not let itself be sealed.
    #[error("the upstream key cannot be sealed")]
    Sealing,
    /// The operating system gave no random bytes for a key.
    #[error("the operating system has no random bytes")]
    Random(#[source] rand::rngs::SysError),
}

impl PlatformError {
    /// Wraps what is wrong with the journal.
    pub(crate) fn journal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Journal(source.into())
    }
}

impl From<Insufficient> for PlatformError {
    fn from(error: Insufficient) -> Self {
        Self::Insufficient(error)
    }
}

impl From<StorageError> for PlatformError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Conflict(Conflict::ChargeInsufficient { needed, available }) => {
                Self::Insufficient(Insufficient { needed, available })
            }
            StorageError::Conflict(conflict) => Self::Conflict(conflict),
            other @ (StorageError::Url(_)
            | StorageError::Driver { .. }
            | StorageError::InvalidData { .. }
            | StorageError::MissingRow { .. }) => Self::Storage(other),
        }
    }
}

/// Why a presented key opens no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No key was presented.
    #[error("no key was presented")]
    Missing,
    /// The key is unknown, disabled, deleted or expired; which of them is nobody's business.
    #[error("the key is not valid")]
    Invalid,
    /// The key is good, but its account is disabled (403 with code 30002 on the wire).
    #[error("the account is disabled")]
    AccountDisabled,
    /// The key is good, but not for the client's address (403 with code 30013 on the wire).
    #[error("the key may not be used from this address")]
    AddressNotAllowed,
}

/// Joins an error with its causes. Storage's errors hold no values of rows, only their places.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
