//! `[server]`: the public listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_api::{InvalidNetwork, TrustedProxies};

use super::{ByteSize, HumanDuration, InvalidValue, at_least_one};

/// The public listener and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// Address and port of the public API. Port 0 takes a free one; `addresses.json` in the data
    /// folder then tells which.
    pub(crate) listen: SocketAddr,
    /// How long running requests may go on after SIGTERM or SIGINT before they are cut.
    pub(crate) shutdown_grace: HumanDuration,
    /// The largest request body; a larger one is refused with 413.
    pub(crate) max_body: ByteSize,
    /// The most memory that large bodies (above 64 KiB) may take together, from their first byte until
    /// they are parsed, or forwarded and answered; one that finds no room is refused with 503.
    pub(crate) max_bodies: ByteSize,
    /// How long a client may take to send a request's body.
    pub(crate) body_timeout: HumanDuration,
    /// How long a client may take to send a request's headers, and how long a connection may stay
    /// open without a request in progress.
    pub(crate) idle_timeout: HumanDuration,
    /// How long a client may leave an answer unread before its connection is cut.
    pub(crate) write_timeout: HumanDuration,
    /// The most connections open at once, per listener; further ones wait in the system's queue.
    /// Fewer where the system's limit on open files allows fewer, with a place in sixteen kept
    /// for the operator's listener.
    pub(crate) max_connections: u32,
    /// Addresses and networks of reverse proxies, such as `10.0.0.0/8`. Their `X-Forwarded-For` tells
    /// the client's address, which keys may be bound to. Empty: the connection's own address counts.
    pub(super) trusted_proxies: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            shutdown_grace: HumanDuration(Duration::from_secs(30)),
            max_body: ByteSize::mebibytes(16),
            max_bodies: ByteSize::mebibytes(512),
            body_timeout: HumanDuration(Duration::from_secs(30)),
            idle_timeout: HumanDuration(Duration::from_secs(75)),
            write_timeout: HumanDuration(Duration::from_mins(1)),
            max_connections: 8192,
            trusted_proxies: Vec::new(),
        }
    }
}

impl ServerConfig {
    /// The trusted proxies as the API takes them.
    ///
    /// # Errors
    /// When an entry is neither an address nor a network.
    pub(crate) fn trusted_proxies(&self) -> Result<TrustedProxies, InvalidNetwork> {
        TrustedProxies::parse(&self.trusted_proxies)
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("server.max_connections", u64::from(self.max_connections))?;
        at_least_one("server.max_body", self.max_body.bytes())?;
        let invalid = |error: InvalidNetwork| InvalidValue {
            key: "server.trusted_proxies",
            message: error.to_string(),
        };
        self.trusted_proxies().map(drop).map_err(invalid)?;
        if self.max_bodies.bytes() < self.max_body.bytes() {
            return Err(InvalidValue {
                key: "server.max_bodies",
                message: "must not be smaller than server.max_body".to_owned(),
            });
        }
        self.body_timeout.not_zero("server.body_timeout")?;
        self.idle_timeout.not_zero("server.idle_timeout")?;
        self.write_timeout.not_zero("server.write_timeout")
    }
}
