//! The names of keys.

use silica_billing::Subject;
use silica_types::{AccountId, ApiKeyId};
use uuid::Uuid;

/// The names that outlive epochs.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    tag: String,
}

impl Names {
    pub(crate) fn new(namespace: &str) -> Self {
        Self {
            tag: format!("{{silica:{namespace}}}:"),
        }
    }

    /// The epoch that is open.
    pub(crate) fn opening(&self) -> String {
        format!("{}open", self.tag)
    }

    /// The epoch that is being prepared.
    pub(crate) fn proposal(&self) -> String {
        format!("{}proposal", self.tag)
    }

    /// Where changes of the database are announced.
    pub(crate) fn changes(&self) -> String {
        format!("{}changes", self.tag)
    }

    /// What all keys of an epoch begin with.
    pub(crate) fn prefix(&self, epoch: &str) -> String {
        format!("{}{epoch}:", self.tag)
    }

    /// What matches the keys of all epochs.
    pub(crate) fn all_epochs(&self) -> String {
        format!("{}*", self.tag)
    }
}

pub(crate) fn account(id: AccountId) -> String {
    id.as_uuid().simple().to_string()
}

pub(crate) fn key(id: ApiKeyId) -> String {
    id.as_uuid().simple().to_string()
}

pub(crate) fn simple(id: Uuid) -> String {
    id.simple().to_string()
}

/// What names a subject behind `l:`.
pub(crate) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Model { account: of, model } => format!("a/{}/{model}", account(*of)),
        Subject::Key(of) => format!("k/{}", key(*of)),
    }
}
