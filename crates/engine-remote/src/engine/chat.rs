//! Chats and completions: checks, the estimate, and one request upstream.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream as items;
use silica_engine::{
    ChatEngine, ChatEvent, ChatEventKind, ChatRequest, ChatStream, Continuation, EngineError, Feature,
    PreparedChat, Spent, WireRoute,
};
use silica_types::{TokenCount, UsageSource};

use super::{LARGEST_DIRECT_BYTES, RemoteEngine, Shared, estimated, identity};
use crate::answer::Answer;
use crate::ceiling::{Ceiling, longest_answer};
use crate::client::Expected;
use crate::estimate::{PromptSize, message_bytes};
use crate::forward::{Answered, Forwarding, Pieces};
use crate::stream;
use crate::whole::read_whole;
use crate::wire::ChatBody;

#[async_trait]
impl ChatEngine for RemoteEngine {
    async fn prepare(&self, request: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError> {
        if request.wire.is_none() {
            check(&request)?;
        }
        let shared = Arc::clone(&self.0);
        let text: usize = request.messages.iter().map(message_bytes).sum();
        let prepared = if text <= LARGEST_DIRECT_BYTES && request.tools.is_empty() {
            PreparedRemote::new(shared, request)
        } else {
            let preparing = tokio::task::spawn_blocking(move || PreparedRemote::new(shared, request));
            preparing.await.map_err(EngineError::failed)?
        };
        Ok(Box::new(prepared?))
    }
}

/// Refuses what chat completions have no common word for. A client's own body is not asked: it says
/// what it wants in its own words.
fn check(request: &ChatRequest) -> Result<(), EngineError> {
    let has_no_word = |demand: &&Feature| match demand {
        Feature::JsonMode
        | Feature::Tools
        | Feature::ForcedCalls
        | Feature::StrictTools
        | Feature::Vision => false,
        Feature::Prefix | Feature::FillInMiddle | Feature::Thinking | Feature::ThinkingBudget => true,
    };
    if let Some(demand) = request.demands.iter().find(has_no_word) {
        return Err(EngineError::Unsupported(*demand));
    }
    match request.continuation {
        Continuation::None => {}
        Continuation::Text(_) | Continuation::Prefix(_) => {
            return Err(EngineError::Unsupported(Feature::Prefix));
        }
        Continuation::FillInMiddle { .. } => return Err(EngineError::Unsupported(Feature::FillInMiddle)),
    }
    if request.thinking.budget.is_some() {
        return Err(EngineError::Unsupported(Feature::ThinkingBudget));
    }
    Ok(())
}

struct PreparedRemote {
    shared: Arc<Shared>,
    body: Pieces,
    prompt: PromptSize,
    completion_limit: TokenCount,
    request: Arc<ChatRequest>,
    /// For answers in one piece.
    spent: Spent,
}

impl PreparedRemote {
    fn new(shared: Arc<Shared>, request: Arc<ChatRequest>) -> Result<Self, EngineError> {
        let body = if let Some(wire) = &request.wire {
            shared.forwarded(wire, Some(request.max_tokens))
        } else {
            let body = ChatBody::new(&shared.model, &request, shared.continuous_usage);
            Bytes::from(serde_json::to_vec(&body).map_err(EngineError::failed)?).into()
        };
        Ok(Self {
            shared,
            body,
            prompt: PromptSize::of(&request),
            completion_limit: TokenCount(request.max_tokens.get().saturating_mul(request.choices)),
            request,
            spent: Spent::default(),
        })
    }
}

#[async_trait]
impl PreparedChat for PreparedRemote {
    fn prompt_tokens(&self) -> TokenCount {
        self.prompt.ordinary()
    }

    fn prompt_limit(&self) -> TokenCount {
        // What nobody here reads is in the body alone. Media are in it, too, but their bytes are no text.
        let wire = self.request.wire.as_ref();
        let body = wire.map_or(0, |wire| wire.body.len().saturating_sub(wire.media.bytes));
        self.prompt.at_least(body).upper_bound()
    }

    fn completion_limit(&self) -> TokenCount {
        self.completion_limit
    }

    fn prompt_source(&self) -> UsageSource {
        UsageSource::Estimated
    }

    fn spent(&self) -> Option<Spent> {
        Some(self.spent.clone())
    }

    async fn start(self: Box<Self>) -> Result<ChatStream, EngineError> {
        let Self {
            shared,
            body,
            prompt,
            completion_limit,
            request,
            spent,
        } = *self;
        let (choices, logprobs) = (request.choices, request.logprobs);
        let ceiling = Ceiling::new(completion_limit, logprobs);
        let Some(wire) = request.wire.as_ref().filter(|wire| !wire.is_read) else {
            let route = request
                .wire
                .as_ref()
                .map_or(WireRoute::ChatCompletions, |wire| wire.route);
            let sending = shared.client.send(route, body, Expected::Events);
            let (body, by) = sending.await?;
            let clock = Arc::clone(&shared.clock);
            let answer = Answer::new(choices, prompt.likely(), logprobs, ceiling, clock);
            return Ok(stream::events(
                body,
                answer,
                shared.limits,
                by,
                Arc::clone(&shared.model),
            ));
        };
        if wire.streams {
            let (body, by) = shared.client.send(wire.route, body, Expected::Events).await?;
            let answer = Forwarding::new(identity(wire), wire.route, choices, prompt.likely(), ceiling);
            return Ok(stream::events(
                body,
                answer,
                shared.limits,
                by,
                Arc::clone(&shared.model),
            ));
        }
        let body = body.costing(spent, estimated(prompt));
        let (body, by) = shared.client.send(wire.route, body, Expected::Json).await?;
        let longest = longest_answer(wire, completion_limit, choices, logprobs);
        let text = read_whole(body, by, shared.limits.whole, longest)
            .await
            .map_err(|error| error.into_engine_error(&shared.model))?;
        let identity = identity(wire);
        let read = move |text: &[u8]| Answered::read(text, &identity, choices, prompt.likely());
        let answer = shared.read(text, read).await?;
        let event = ChatEvent {
            usage: answer.usage,
            kind: ChatEventKind::Forwarded {
                bytes: answer.bytes,
                has_text: answer.has_text,
                end: answer.end,
            },
        };
        Ok(Box::pin(items::iter([Ok(event)])))
    }
}
