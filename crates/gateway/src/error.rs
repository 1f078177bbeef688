//! What can go wrong with a call and with a deployment.

use std::error::Error;
use std::fmt::Write as _;

use silica_engine::{EngineError, Feature, ModerationError};
use silica_platform::{EngineKind, JournalError, Refusal};

use crate::ModerationStage;

/// Why a call was not answered, or not to its end. `silica-api` maps each to a code of the
/// contract, in one place.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The catalogue has no such model, or nothing is deployed for it.
    #[error("the model does not exist")]
    UnknownModel,
    /// The operator switched the model off.
    #[error("the model is disabled")]
    ModelDisabled,
    /// The catalogue says that the model cannot do this.
    #[error("the model does not support {0}")]
    Unsupported(Feature),
    /// The model is deployed, but no replica of it is loaded.
    #[error("no replica of the model is loaded")]
    NotLoaded,
    /// Every replica runs as many calls as it may.
    #[error("every replica of the model is busy")]
    Overloaded,
    /// The call was not admitted; nothing was charged.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What goes in or comes out is refused; only what had been let through is charged.
    #[error("the {0} is prohibited or sensitive")]
    Moderated(ModerationStage),
    /// Nobody judged what goes in or comes out, and it must not pass without.
    #[error("the call could not be moderated")]
    Unmoderated(#[source] ModerationError),
    /// The answer is there, but its usage could not be made to last, so it must not end as complete.
    #[error("the call could not be settled")]
    NotSettled(#[source] JournalError),
    /// The engine's stream ended before all choices were finished.
    #[error("the engine's answer was cut short")]
    Cut,
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The binary was built without this engine.
    #[error("engine {0} is not part of this build")]
    NotBuilt(EngineKind),
    /// The replica has no folder.
    #[error("engine {0} needs a path")]
    PathMissing(EngineKind),
    /// The replica has no address.
    #[error("engine {0} needs a url")]
    UrlMissing(EngineKind),
    /// The engine refused the model; the source names the file at fault.
    #[error("the engine cannot load the model")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
}

impl LoadError {
    /// Wraps the error of an engine.
    pub fn engine(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Engine(source.into())
    }
}

/// Why a deployment is not in force.
#[derive(Debug, thiserror::Error)]
#[error("deployment {deployment:?}, replica {replica}")]
pub struct DeployError {
    /// The deployment's name.
    pub deployment: String,
    /// The position of the replica at fault, from 0.
    pub replica: usize,
    /// What is wrong with it.
    #[source]
    pub source: LoadError,
}

/// Writes an error and its causes on one line, from the outside in.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a String does not fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
