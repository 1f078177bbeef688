//! Why nothing was fetched. Messages name hosts only: addresses of files carry signatures.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use crate::AddressError;

/// Why an address was not fetched, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address cannot be read, or has parts that it must not have.
    #[error("the address {url} cannot be used: {problem}")]
    Address {
        /// The address without its query.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The host is inside, and that is not allowed.
    #[error("{host} is at {address}, which is not a public address")]
    Private {
        /// The host.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// No connection, or one that broke before the answer's head.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// What the connection said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nothing came for so long.
    #[error("{host} was silent for {limit:?}")]
    Silent {
        /// The host.
        host: String,
        /// The longest silence that is allowed.
        limit: Duration,
    },
    /// The connection broke in the middle of the answer.
    #[error("the connection to {host} broke")]
    Broken {
        /// The host.
        host: String,
        /// What the connection said.
        #[source]
        source: hyper::Error,
    },
    /// One redirect after the other.
    #[error("more than {0} redirects")]
    Redirects(usize),
    /// A redirect to an address without encryption from one that has it.
    #[error("{host} redirects from https to http")]
    Downgrade {
        /// The host.
        host: String,
    },
    /// An answer that is packed although nothing of the kind was asked for.
    #[error("the answer of {host} has a content encoding that was not asked for")]
    Packed {
        /// The host.
        host: String,
    },
    /// An answer that is longer than it may be.
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLong {
        /// The host.
        host: String,
        /// The most bytes that it may have.
        most: usize,
    },
}

impl FetchError {
    /// Whether the same request may go better later.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. }
        )
    }

    /// Tells an address that was refused from a server that was not reached.
    pub(super) fn unreachable(host: &str, error: impl Error + Send + Sync + 'static) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(found) = cause {
            if let Some(AddressError::Private(address)) = found.downcast_ref() {
                return Self::Private {
                    host: host.to_owned(),
                    address: *address,
                };
            }
            cause = found.source();
        }
        Self::Unreachable {
            host: host.to_owned(),
            source: Box::new(error),
        }
    }
}
