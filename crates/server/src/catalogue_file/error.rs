//! What can be wrong with a catalogue file, with the place to mend it.

use std::io;
use std::path::PathBuf;

use silica_gateway::DeployError;
use silica_platform::PlatformError;

/// Why a catalogue file is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogueFileError {
    /// The file cannot be read.
    #[error("cannot read the catalogue file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML, or says what the operator API would refuse.
    #[error("{}:{line}: {place}{message}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The entry and the field, with a colon and a blank; empty when none is at fault.
        place: String,
        /// What is wrong. Holds no value of the file that may be a secret.
        message: String,
    },
    /// What the file no longer names is still needed.
    #[error("{}: {message}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// An engine cannot be loaded.
    #[error("{}:{line}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// The line of its replica, from 1.
        line: usize,
        /// Which replica, and why.
        #[source]
        source: DeployError,
    },
    /// The database failed, which says nothing about the file.
    #[error("the catalogue file {} cannot be applied", path.display())]
    NotApplied {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: PlatformError,
    },
    /// The work on the file was cut.
    #[error("reading the catalogue file was cut")]
    Cut(#[source] tokio::task::JoinError),
}

impl CatalogueFileError {
    /// Whether the same file may be good at another try.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::NotApplied { .. } | Self::Cut(_) | Self::Unreadable { .. } => true,
            Self::Fault { .. } | Self::Missing { .. } | Self::Engine { .. } => false,
        }
    }
}
