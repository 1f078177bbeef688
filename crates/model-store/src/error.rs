//! Why a model did not get into the store, or is not there.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use silica_engine_candle::LoadError;
use silica_engine_remote::{FetchError, OptionsError};
use silica_text::TextError;

use crate::digest::Digest;
use crate::space::told;
use crate::{InvalidHub, ModelId, UnsafeName};

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A model of this name is there already.
    #[error("{id} is in the store already; remove it first, or give this one another name (--name)")]
    Exists {
        /// Its name.
        id: ModelId,
    },
    /// No model has this name.
    #[error("there is no model {id} in the store")]
    NotFound {
        /// The name that was asked for.
        id: ModelId,
    },
    /// Another process is adding or removing the model.
    #[error("another process is adding or removing {id}")]
    Busy {
        /// The model's name.
        id: ModelId,
    },
    /// The model's place is taken by something that is no model of the store.
    #[error("{} is there already and is no model of the store; choose another name (--name)", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// The name leads into the folder of another model.
    #[error("{id} would lie inside the model {other}; choose another name (--name)")]
    Inside {
        /// The model's name.
        id: ModelId,
        /// The other model.
        other: ModelId,
    },
    /// A file or folder cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk filled up on the way.
    #[error("the disk is full; what has arrived stays in {}: make room and run the same command again", path.display())]
    Full {
        /// The file that could not be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk filled up while a model of this machine was copied.
    #[error("the disk is full, {} could not be written and the copies were taken away: make room and run the same command again", path.display())]
    FullCopying {
        /// The file that could not be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk has not enough room for the model.
    #[error("{} more are needed, and the disk of {} has {} left", told(*needed), folder.display(), told(*free))]
    NoRoom {
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// The store's folder.
        folder: PathBuf,
    },
    /// The model is larger than models may be.
    #[error("the model has {}, and models.max_size allows {}", told(*bytes), told(*limit))]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most bytes that it may have.
        limit: u64,
    },
    /// A manifest that cannot be used.
    #[error("{} cannot be used: {problem}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing in the source can be served, or too much.
    #[error("{what} {problem}")]
    Unsuited {
        /// The repository or folder.
        what: String,
        /// What is wrong with it, as the rest of the sentence.
        problem: String,
    },
    /// A file's name could lead out of the model's folder.
    #[error("{what} is refused")]
    UnsafeName {
        /// The repository or folder.
        what: String,
        /// Which name.
        #[source]
        source: UnsafeName,
    },
    /// The weights or the configuration cannot be served.
    #[error("{id} is refused")]
    Weights {
        /// The model's name.
        id: ModelId,
        /// The file, and what is wrong with it.
        #[source]
        source: Box<LoadError>,
    },
    /// The text files cannot be served.
    #[error("{id} is refused")]
    Text {
        /// The model's name.
        id: ModelId,
        /// The file, and what is wrong with it.
        #[source]
        source: Box<TextError>,
    },
    /// The hub did not give the model.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl StoreError {
    pub(crate) fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::Read { path, source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Write { path, source },
        }
    }

    /// Whether the same model would be refused again, so that nothing of it need be kept.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unsuited { .. }
                | Self::UnsafeName { .. }
                | Self::Weights { .. }
                | Self::Text { .. }
                | Self::TooLarge { .. }
        )
    }
}

/// Why a hub did not give a model.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The client cannot be set up.
    #[error("the client of the hub cannot be set up")]
    Options(#[from] OptionsError),
    /// An address cannot be fetched.
    #[error(transparent)]
    Fetch(FetchError),
    /// The hub, or what it redirects to, is inside.
    #[error(
        "{host} is at {address}, which is not a public address; models.hub_allow_private = true allows a hub there"
    )]
    Private {
        /// The host.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// The hub's address is none.
    #[error(transparent)]
    Address(#[from] InvalidHub),
    /// The token cannot be sent.
    #[error("the token has characters that no header can carry")]
    Token,
    /// A token may not travel without encryption.
    #[error("a token is not sent to {hub} without https")]
    TokenInClear {
        /// The hub's address.
        hub: String,
    },
    /// The repository's terms have to be accepted first.
    #[error("{repo} is gated at {hub}: accept its terms at {page} and set {variable} to a token of the same account{}", if *with_token { " (the token that was sent has no access)" } else { "" })]
    Gated {
        /// The repository.
        repo: String,
        /// The hub.
        hub: String,
        /// Where people accept its terms.
        page: String,
        /// The environment variable for the token.
        variable: &'static str,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// There is no such repository, or the hub does not say that there is.
    #[error("{hub} has no {repo}, or it is private; {}", if *with_token { format!("the token in {variable} does not open it") } else { format!("if it is, set {variable}") })]
    NoRepository {
        /// The repository.
        repo: String,
        /// The hub.
        hub: String,
        /// The environment variable for the token.
        variable: &'static str,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision} at {hub}")]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision that was asked for.
        revision: String,
        /// The hub.
        hub: String,
    },
    /// A file that was listed is gone.
    #[error("{hub} lists {file} and does not have it")]
    NoFile {
        /// The file.
        file: String,
        /// The hub.
        hub: String,
    },
    /// The hub answers with another status.
    #[error("{host} answered {status} for {what}")]
    Status {
        /// The host.
        host: String,
        /// Its answer.
        status: StatusCode,
        /// What was asked for.
        what: String,
    },
    /// The hub asks for a longer pause than a person would wait.
    #[error("{host} asks for a pause of {} seconds; run the same command again after it", pause.as_secs())]
    Pause {
        /// The host.
        host: String,
        /// The pause.
        pause: Duration,
    },
    /// The list of files is not what it should be.
    #[error("the list of files from {hub} cannot be used: {problem}")]
    Listing {
        /// The hub.
        hub: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file's size is another than the list says.
    #[error("{file} is listed with {listed} bytes, and {host} sends {sent}")]
    WrongSize {
        /// The file.
        file: String,
        /// Bytes that the list gives.
        listed: u64,
        /// Bytes that are announced for it.
        sent: u64,
        /// Who sends it.
        host: String,
    },
    /// A file does not end where it should.
    #[error("{host} sends more than the {listed} bytes that are listed for {file}")]
    TooLong {
        /// The file.
        file: String,
        /// Bytes that the list gives.
        listed: u64,
        /// Who sends it.
        host: String,
    },
    /// The connection ended, as if all was well, before the file did.
    #[error("{file} ended after {received} of {listed} bytes")]
    EndedEarly {
        /// The file.
        file: String,
        /// Bytes that have arrived.
        received: u64,
        /// Bytes that the list gives.
        listed: u64,
    },
    /// What arrived is not what the hub lists. It was deleted.
    #[error(
        "{file} is damaged: its checksum is {actual}, and the hub lists {listed}; what arrived was deleted"
    )]
    WrongDigest {
        /// The file.
        file: String,
        /// The hub's checksum.
        listed: Digest,
        /// That of what arrived.
        actual: Digest,
    },
    /// Something that usually passes did not.
    #[error("gave up on {what} after {attempts} attempts; run the same command again to go on")]
    GaveUp {
        /// The file, or what else was asked for.
        what: String,
        /// How often it was tried without getting further.
        attempts: u32,
        /// The last fault.
        #[source]
        source: Box<HubError>,
    },
}

impl From<FetchError> for HubError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Private { host, address } => Self::Private { host, address },
            other => Self::Fetch(other),
        }
    }
}
