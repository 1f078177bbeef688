//! How a node takes part.

use std::time::Duration;

use silica_types::Secret;
use uuid::Uuid;

/// How a node reaches the others and what they may take for granted.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// `redis://user:password@host:port/database`, or `rediss:` for TLS.
    pub url: Secret,
    /// Names the cluster where several share a Redis: letters, digits, `-` and `_`.
    pub namespace: String,
    /// The node: the owner of one journal. The same in every process that opens that journal.
    pub node: Uuid,
    /// How long one command may take; a Redis that takes longer counts as gone.
    pub timeout: Duration,
    /// A process that was silent for so long is gone: what its calls hold is free again.
    pub member_timeout: Duration,
    /// A node that was silent for so long is lost with its journal: what it has settled and nobody
    /// applied is free again.
    pub forget_after: Duration,
}
