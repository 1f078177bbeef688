//! Where an engine is and how long it may take.

use std::time::Duration;

use silica_types::Secret;

use crate::Authorities;

/// An engine to connect to.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The address below which `/chat/completions` stands, such as `https://host:8000/v1`: `http`
    /// or `https`, without user, password, query and fragment.
    pub base_url: String,
    /// Sent as bearer token, if given.
    pub api_key: Option<Secret>,
    /// The model's name at the engine.
    pub model: String,
    /// Whether the engine may be at an address that is not public (loopback, private networks,
    /// link-local with the metadata services of clouds, ...).
    pub allow_private: bool,
    /// Whether the engine is asked for its usage in every frame (`continuous_usage_stats`), so that
    /// a call that is cut is billed by its count instead of an estimate. vLLM and `SGLang` know the
    /// word; strict servers, OpenAI's own among them, refuse every request that has it.
    pub continuous_usage: bool,
    /// The longest wait for the name's addresses, and again for a connection. Not zero.
    pub connect_limit: Duration,
    /// The longest wait from sending the request to the first word of the answer; the upstream's
    /// queue and its work on the prompt fall into it. Not zero.
    pub first_frame_limit: Duration,
    /// The longest wait for an answer that is no stream, from sending the request to its last byte.
    /// Not zero.
    pub whole_limit: Duration,
    /// The longest time between two frames with words. Not zero.
    pub stall_limit: Duration,
    /// The longest wait for the usage after the last choice has finished.
    pub usage_limit: Duration,
    /// What the engine's health is asked of, below its address; `None` means `/models`, an empty text
    /// that it is not asked.
    pub health_path: Option<String>,
    /// Who may vouch for the engine beside the system's authorities, such as the operator's own.
    pub authorities: Option<Authorities>,
}

impl RemoteOptions {
    /// Describes an engine without a key at a public address, with the usual limits: 5 s to
    /// connect, 120 s to the first word, 600 s to the end of a whole answer, 60 s between words, 5 s for
    /// the usage.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: model.into(),
            allow_private: false,
            continuous_usage: false,
            connect_limit: Duration::from_secs(5),
            first_frame_limit: Duration::from_mins(2),
            whole_limit: Duration::from_mins(10),
            stall_limit: Duration::from_mins(1),
            usage_limit: Duration::from_secs(5),
            health_path: None,
            authorities: None,
        }
    }
}
