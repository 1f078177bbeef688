//! Deployments: which engines answer for which catalogue models.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use silica_types::{ModelName, Secret, code_enum};

code_enum! {
    /// The engines that this build can start.
    EngineKind, "engine", {
        /// The embedded engine.
        Candle = "candle",
        /// A server elsewhere that speaks the protocol of OpenAI.
        OpenAi = "openai",
    }
}

code_enum! {
    /// How a replica is chosen for a call.
    RoutingPolicy, "policy", {
        /// The replica with the fewest running calls for its weight.
        LeastBusy = "least-busy",
        /// One after the other.
        RoundRobin = "round-robin",
        /// One after the other, each as often as its weight says.
        Weighted = "weighted",
        /// The replica that is likely to hold the conversation's cache, unless it is far busier than others.
        PrefixAffinity = "prefix-affinity",
    }
}

code_enum! {
    /// What an embedded engine makes of weights that are not quantised in their file.
    Quantization, "quantisation", {
        /// Nothing.
        None = "none",
        /// 8 bits and a scale for 32 values.
        Q8_0 = "q8_0",
        /// 4 bits and a scale for 32 values.
        Q4_0 = "q4_0",
    }
}

/// One engine of a deployment.
///
/// Fields that an engine kind does not use are stored all the same, so that what an operator's
/// script put comes back when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSpec {
    /// Which engine.
    pub engine: EngineKind,
    /// The model's folder or GGUF file, for embedded engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A folder as PEFT writes it, whose `LoRA` adapter the embedded engine adds to the model at
    /// `path`; `None` for the model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// How an embedded engine quantises the weights as it loads them; `None` does what the
    /// configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<Quantization>,
    /// The server's address, for remote engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The key that a remote engine asks for. In storage it is sealed, and a clear one is not
    /// written; only rows of versions before the sealing have it in clear.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "store_secret"
    )]
    pub api_key: Option<Secret>,
    /// The model's name at a remote engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    /// Whether a remote engine may stand at a private address.
    #[serde(default)]
    pub allow_private: bool,
    /// Its share of the calls compared with the other replicas; 1 or more.
    pub weight: u32,
    /// The calls that it may run at once; `None` leaves that to the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// Takes no new calls; running ones go on to their end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
    /// Whether a remote engine is asked for its usage in every frame (vLLM and `SGLang` know the word).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continuous_usage: bool,
    /// What a remote engine's health is asked of, below its `url`; `None` means `/models`, an empty
    /// text that it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// The longest wait for a connection to a remote engine, in milliseconds; `None` means 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u32>,
    /// The longest wait for the first token (of a whole answer: for all of it), in milliseconds;
    /// `None` means 120 s (whole: 600 s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_timeout_ms: Option<u32>,
    /// The longest silence between two frames, in milliseconds; `None` means 60 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_timeout_ms: Option<u32>,
}

/// How a sealed key begins.
const SEALED: &str = "sealed:";

/// Writes the upstream key into the database column; nothing else serialises a [`ReplicaSpec`]. A
/// key in clear is a mistake of the caller, which must not reach the disk.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn store_secret<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = secret.as_ref().map(Secret::expose);
    if text.is_some_and(|text| !text.starts_with(SEALED)) {
        return Err(S::Error::custom(
            "an upstream key must be sealed before it is stored",
        ));
    }
    text.serialize(serializer)
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its name; unique.
    pub name: String,
    /// The catalogue models that it answers for; a model belongs to one deployment at most.
    pub models: Vec<ModelName>,
    /// How a replica is chosen.
    pub policy: RoutingPolicy,
    /// Its engines.
    pub replicas: Vec<ReplicaSpec>,
    /// The deployments that answer, in this order, when none of its own replicas can: by name.
    pub fallbacks: Vec<String>,
    /// When it was first stored, whole microseconds.
    pub created_at: Timestamp,
    /// When it was last changed, whole microseconds.
    pub updated_at: Timestamp,
}
