//! The port's implementation: checks, the estimate, and one request upstream.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use silica_engine::{Engines, ChatEngine, ChatRequest, ChatStream, Continuation, EngineError, Feature, PreparedChat};
use silica_types::{SharedClock, TokenCount, UsageSource};

use crate::answer::Answer;
use crate::ceiling::Ceiling;
use crate::client::Client;
use crate::estimate::{PromptSize, message_bytes};
use crate::stream::{self, Limits};
use crate::wire::ChatBody;
use crate::{OptionsError, RemoteOptions};

/// Requests with more text than this, or with tools, are written on the blocking pool, in bytes.
const LARGEST_DIRECT_BYTES: usize = 128 * 1024;

/// A chat engine that runs elsewhere. Clones share their connections.
#[derive(Debug, Clone)]
pub struct RemoteEngine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    model: String,
    continuous_usage: bool,
    limits: Limits,
    clock: SharedClock,
}

impl RemoteEngine {
    /// Makes an engine. Nothing is connected to before the first chat.
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
            ("stall", options.stall_limit),
        ] {
            if limit.is_zero() {
                return Err(OptionsError::Limit(name));
            }
        }
        Ok(Self(Arc::new(Shared {
            client: Client::new(options)?,
            model: options.model.clone(),
            continuous_usage: options.continuous_usage,
            limits: Limits::of(options),
            clock,
        })))
    }

    /// What the engine can do, as one replica.
    pub fn engines(self) -> Engines {
        Engines::chat(Arc::new(self))
    }
}

#[async_trait]
impl ChatEngine for RemoteEngine {
    async fn prepare(&self, request: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError> {
        check(&request)?;
        let shared = Arc::clone(&self.0);
        let text: usize = request.messages.iter().map(message_bytes).sum();
        let prepared = if text <= LARGEST_DIRECT_BYTES && request.tools.is_empty() {
            PreparedRemote::new(shared, &request)
        } else {
            let preparing = tokio::task::spawn_blocking(move || PreparedRemote::new(shared, &request));
            preparing.await.map_err(EngineError::failed)?
        };
        Ok(Box::new(prepared?))
    }
}

/// Refuses what chat completions have no common word for.
fn check(request: &ChatRequest) -> Result<(), EngineError> {
    match request.continuation {
        Continuation::None => {}
        Continuation::Text(_) | Continuation::Prefix(_) => return Err(EngineError::Unsupported(Feature::Prefix)),
        Continuation::FillInMiddle { .. } => return Err(EngineError::Unsupported(Feature::FillInMiddle)),
    }
    if request.thinking.budget.is_some() {
        return Err(EngineError::Unsupported(Feature::ThinkingBudget));
    }
    Ok(())
}

struct PreparedRemote {
    shared: Arc<Shared>,
    body: Bytes,
    prompt: PromptSize,
    completion_limit: TokenCount,
    choices: u32,
    logprobs: Option<u8>,
}

impl PreparedRemote {
    fn new(shared: Arc<Shared>, request: &ChatRequest) -> Result<Self, EngineError> {
        let body = ChatBody::new(&shared.model, request, shared.continuous_usage);
        let body = serde_json::to_vec(&body).map_err(EngineError::failed)?;
        Ok(Self {
            shared,
            body: body.into(),
            prompt: PromptSize::of(request),
            completion_limit: TokenCount(request.max_tokens.get().saturating_mul(request.choices)),
            choices: request.choices,
            logprobs: request.logprobs,
        })
    }
}

#[async_trait]
impl PreparedChat for PreparedRemote {
    fn prompt_tokens(&self) -> TokenCount {
        self.prompt.ordinary()
    }

    fn prompt_limit(&self) -> TokenCount {
        self.prompt.upper_bound()
    }

    fn completion_limit(&self) -> TokenCount {
        self.completion_limit
    }

    fn prompt_source(&self) -> UsageSource {
        UsageSource::Estimated
    }

    async fn start(self: Box<Self>) -> Result<ChatStream, EngineError> {
        let Self {
            shared,
            body,
            prompt,
            completion_limit,
            choices,
            logprobs,
        } = *self;
        let (body, first_frame_by) = shared.client.send(body).await?;
        let ceiling = Ceiling::new(completion_limit, logprobs);
        let clock = Arc::clone(&shared.clock);
        let answer = Answer::new(choices, prompt.likely(), logprobs, ceiling, clock);
        let name = shared.model.clone();
        Ok(stream::events(body, answer, shared.limits, first_frame_by, name))
    }
}
