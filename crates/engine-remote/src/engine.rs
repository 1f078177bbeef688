//! The engine: its options, and the ports that it implements.

mod chat;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use silica_engine::{EngineError, Engines, HealthProbe, Usage, WireRequest};
use silica_types::{SharedClock, TokenCount, UsageSource};

use crate::client::Client;
use crate::estimate::PromptSize;
use crate::forward::{Changes, Identity, Pieces, forwarded_body};
use crate::stream::Limits;
use crate::{OptionsError, RemoteError, RemoteOptions};

/// Texts up to this size are read and written where they are; larger ones on the blocking pool, in bytes.
const LARGEST_DIRECT_BYTES: usize = 128 * 1024;

/// An engine that runs elsewhere. Clones share their connections.
#[derive(Debug, Clone)]
pub struct RemoteEngine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    model: Arc<str>,
    /// `model` as JSON.
    model_json: Vec<u8>,
    continuous_usage: bool,
    limits: Limits,
    clock: SharedClock,
}

impl RemoteEngine {
    /// Makes an engine. Nothing is connected to before the first request.
    ///
    /// # Errors
    /// When the options are no engine's.
    pub fn new(options: &RemoteOptions, clock: SharedClock) -> Result<Self, OptionsError> {
        if options.model.is_empty() {
            return Err(OptionsError::Model);
        }
        for (name, limit) in [
            ("connect", options.connect_limit),
            ("first frame", options.first_frame_limit),
            ("whole answer", options.whole_limit),
            ("stall", options.stall_limit),
        ] {
            if limit.is_zero() {
                return Err(OptionsError::Limit(name));
            }
        }
        Ok(Self(Arc::new(Shared {
            client: Client::new(options)?,
            model: options.model.as_str().into(),
            model_json: json_text(&options.model),
            continuous_usage: options.continuous_usage,
            limits: Limits::of(options),
            clock,
        })))
    }

    /// What the engine can do, as one replica. Whether the model behind it embeds or chats is the
    /// catalogue's to know.
    pub fn engines(self) -> Engines {
        let engine = Arc::new(self);
        Engines {
            chat: Some(Arc::clone(&engine) as _),
            embed: Some(Arc::clone(&engine) as _),
            rerank: Some(Arc::clone(&engine) as _),
            health: engine.0.client.has_health().then_some(engine as _),
        }
    }
}

#[async_trait]
impl HealthProbe for RemoteEngine {
    async fn probe(&self, limit: Duration) -> Result<(), EngineError> {
        self.0.client.probe(limit).await
    }
}

impl Shared {
    /// The client's body as this engine gets it.
    fn forwarded(&self, wire: &WireRequest, most: Option<TokenCount>) -> Pieces {
        let changes = Changes {
            model: &self.model_json,
            max_tokens: most,
            continuous_usage: self.continuous_usage,
        };
        forwarded_body(wire, &changes)
    }

    /// Reads a whole answer with `read`, on the blocking pool when it is large: embeddings take
    /// milliseconds for each megabyte.
    async fn read<T: Send + 'static>(
        &self,
        text: Bytes,
        read: impl FnOnce(&[u8]) -> Result<T, RemoteError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let read = if text.len() <= LARGEST_DIRECT_BYTES {
            read(&text)
        } else {
            let reading = tokio::task::spawn_blocking(move || read(&text));
            reading.await.map_err(EngineError::failed)?
        };
        read.map_err(|error| error.into_engine_error(&self.model))
    }
}

/// What a call has used whose prompt is of this size, and of which nothing else is known.
fn estimated(prompt: PromptSize) -> Usage {
    Usage {
        prompt: prompt.likely(),
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

/// Who an answer to this request says it is.
fn identity(wire: &WireRequest) -> Identity {
    Identity {
        id: json_text(&wire.id),
        model: json_text(wire.model.as_str()),
    }
}

/// A text as JSON, which every text has.
pub(crate) fn json_text(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).unwrap_or_default()
}
