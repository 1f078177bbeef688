//! What may be wrong with an engine elsewhere, and how the port sees it.
//!
//! No error carries a text that the upstream wrote about a request, except the one that is meant
//! for the client: such texts quote prompts, and errors are logged.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use silica_engine::EngineError;

/// Options that no engine can be made of.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The address cannot be read.
    #[error("the engine's url is not valid")]
    Url(#[source] url::ParseError),
    /// The address cannot be turned into a request's target.
    #[error("the engine's url is not valid")]
    Target(#[source] http::uri::InvalidUri),
    /// Neither `http` nor `https`.
    #[error("the engine's url must begin with http:// or https://, not {0}:")]
    Scheme(String),
    /// The address has a part that it must not have.
    #[error("the engine's url must have no {0}")]
    Extra(&'static str),
    /// The address names no host.
    #[error("the engine's url has no host")]
    Host,
    /// The address is a number that is refused.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The key cannot be sent in a header.
    #[error("the engine's api key has characters that no header can carry")]
    ApiKey,
    /// The model's name at the engine is empty.
    #[error("the engine's upstream model is empty")]
    Model,
    /// A limit of no time at all.
    #[error("the engine's {0} limit must not be zero")]
    Limit(&'static str),
    /// A certificate that is no certificate.
    #[error("the authorities' certificates cannot be read")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// Authorities without any certificate.
    #[error("there is no certificate in it; it should have one or more in PEM")]
    NoCertificate,
    /// TLS cannot be set up.
    #[error("tls cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Why a host is not connected to.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// An address that is not public, and the operator has not allowed private ones.
    #[error("{0} is not a public address; set allow_private to use an engine there")]
    Private(IpAddr),
    /// The name has no address.
    #[error("the host has no address")]
    None,
    /// The name cannot be looked up.
    #[error("the host's addresses cannot be found")]
    Lookup(#[source] std::io::Error),
    /// Nobody answered about the name.
    #[error("the host's addresses were not found within {0:?}")]
    Silent(Duration),
}

/// Why an answer could not be read from its connection.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The connection was closed before the answer's end.
    #[error("the connection was closed before the answer's end")]
    Closed,
    /// The head is not to be understood.
    #[error("the answer's head cannot be read: {0}")]
    Head(&'static str),
    /// A chunk of the body is not to be understood.
    #[error("a chunk of the answer cannot be read: {0}")]
    Chunk(&'static str),
}

/// Why an engine elsewhere did not answer, or stopped answering.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No connection, or one that broke before the answer's head.
    #[error("the engine cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Nothing came for so long.
    #[error("the engine was silent for {0:?}")]
    Silent(Duration),
    /// A refusal that is not the request's fault.
    #[error("the engine answered with status {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When the engine wants to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// A success that is not of the type that was asked for.
    #[error("the engine's answer is not {0}")]
    ContentType(&'static str),
    /// A success that is packed although nothing of the kind was asked for.
    #[error("the engine's answer has a content encoding that was not asked for")]
    Encoded,
    /// A whole answer longer than this many bytes.
    #[error("the engine's answer is longer than {0} bytes")]
    AnswerTooLong(usize),
    /// The connection broke in the middle of the answer.
    #[error("the connection to the engine broke")]
    Broken(#[source] TransferError),
    /// The stream ended before every choice was finished.
    #[error("the engine's stream ended before the answer was complete")]
    Truncated,
    /// A frame longer than this many bytes.
    #[error("the engine sent a frame of more than {0} bytes")]
    FrameTooLong(usize),
    /// A frame that is not what it should be. The fault's text is not kept: it may quote the answer.
    #[error("the engine sent a malformed frame ({what} at column {column})")]
    Malformed {
        /// The kind of fault.
        what: &'static str,
        /// Where in the frame, in bytes from 1; 0 when it is no single place.
        column: usize,
    },
    /// The engine said in its stream that it failed.
    #[error("the engine reported a failure{}", code.map(|code| format!(" with code {code}")).unwrap_or_default())]
    Reported {
        /// Its code, if it gave a number.
        code: Option<i64>,
    },
}

impl RemoteError {
    /// Wraps a fault of a frame's JSON.
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        let what = match error.classify() {
            Category::Io | Category::Eof => "it ends too early",
            Category::Syntax => "no JSON",
            Category::Data => "a value of the wrong type",
        };
        Self::Malformed {
            what,
            column: error.column(),
        }
    }

    /// A frame that says what it must not.
    pub(crate) const fn frame(what: &'static str) -> Self {
        Self::Malformed { what, column: 0 }
    }

    /// Tells the port. Some of its errors carry no cause, so the cause is logged here.
    pub(crate) fn into_engine_error(self, engine: &str) -> EngineError {
        let told = match &self {
            Self::Unreachable(_) => EngineError::Unavailable,
            Self::Status { status, retry_after } => match status.as_u16() {
                429 => EngineError::RateLimited {
                    retry_after: *retry_after,
                },
                502..=504 => EngineError::Unavailable,
                _ => return EngineError::failed(self),
            },
            Self::Silent(_) => return EngineError::TimedOut(Box::new(self)),
            // What was asked for decides how long an answer is.
            Self::AnswerTooLong(most) => EngineError::AnswerTooLong { most: *most },
            _ => return EngineError::failed(self),
        };
        let causes = causes(&self);
        tracing::warn!(
            engine.name = engine,
            error = causes,
            "{engine} took no call: {causes}"
        );
        told
    }
}

/// An error and its causes in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
