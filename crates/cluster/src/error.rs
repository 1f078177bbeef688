//! Why Redis does not help.

/// Redis failed or answered something else than it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The address is none of Redis.
    #[error("cluster.redis_url is no address of Redis")]
    Url(#[source] fred::error::Error),
    /// No connection, or none in time.
    #[error("Redis cannot be reached")]
    Connect(#[source] fred::error::Error),
    /// No connection in the time that one may take.
    #[error("Redis does not accept a connection in time")]
    ConnectTimeout,
    /// A command failed or timed out. Whether it was carried out is unknown.
    #[error("Redis does not carry out {action}")]
    Command {
        /// What was asked.
        action: &'static str,
        /// Why not.
        #[source]
        source: fred::error::Error,
    },
    /// The server is none that can be counted in.
    #[error("the Redis at cluster.redis_url {problem}")]
    Unsuitable {
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// Its answer has another form than the scripts give.
    #[error("Redis answers {action} in another form")]
    Answer {
        /// What was asked.
        action: &'static str,
    },
}

impl ClusterError {
    pub(crate) fn command(action: &'static str) -> impl FnOnce(fred::error::Error) -> Self {
        move |source| Self::Command { action, source }
    }
}
