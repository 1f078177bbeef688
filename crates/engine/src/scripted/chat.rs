//! The message level: scripts of [`ChatEvent`]s.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use silica_types::{TokenCount, UsageSource};
use tokio::sync::{Notify, Semaphore};

use crate::{
    ChatEngine, ChatEvent, ChatEventKind, ChatRequest, ChatStream, Delta, EngineError, Feature, FinishReason,
    PreparedChat, Spent, Usage,
};

/// Makes an error each time it is played, since errors cannot be cloned.
type ErrorFactory = Arc<dyn Fn() -> EngineError + Send + Sync>;

/// Holds a script until the test lets it go on. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// Makes a gate that lets nothing through.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets this many waits pass, now or later.
    pub fn pass(&self, waits: usize) {
        self.0.add_permits(waits);
    }

    /// Lets every wait pass from now on.
    pub fn open(&self) {
        self.0.close();
    }

    /// Waits for its turn to pass.
    pub async fn wait(&self) {
        // An error means that the gate was opened for good, which is a pass as well.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// One step of a [`ChatScript`].
#[derive(Clone)]
pub enum ChatStep {
    /// Sends an event.
    Event(ChatEvent),
    /// Waits for the gate.
    Wait(Gate),
    /// Fails and ends the stream.
    Fail(ErrorFactory),
}

impl fmt::Debug for ChatStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => formatter.debug_tuple("Event").field(event).finish(),
            Self::Wait(gate) => formatter.debug_tuple("Wait").field(gate).finish(),
            Self::Fail(_) => formatter.write_str("Fail"),
        }
    }
}

/// What one chat plays, built step by step. Usage counts as a real engine's would: the prompt from
/// `Started` on, one completion token for each delta (a reasoning token for reasoning).
#[derive(Clone, Default)]
pub struct ChatScript {
    refusal: Option<ErrorFactory>,
    start_gate: Option<Gate>,
    spent: Option<Usage>,
    steps: VecDeque<ChatStep>,
    usage: Usage,
}

impl ChatScript {
    /// Begins with `Started` and a prompt of this many tokens.
    pub fn started(prompt: TokenCount) -> Self {
        let script = Self {
            usage: Usage {
                prompt,
                ..Usage::default()
            },
            ..Self::default()
        };
        script.event(ChatEventKind::Started)
    }

    /// A whole answer of one choice: started, each text as one delta, finished with `Stop`.
    pub fn answer(texts: &[&str]) -> Self {
        let script = Self::started(TokenCount(10));
        texts
            .iter()
            .fold(script, |script, text| script.content(0, text))
            .finished(0, FinishReason::Stop)
    }

    /// Refuses the request before any event.
    pub fn refusal(error: impl Fn() -> EngineError + Send + Sync + 'static) -> Self {
        Self {
            refusal: Some(Arc::new(error)),
            ..Self::default()
        }
    }

    /// Waits for the gate before `chat` returns its stream (a full queue, a slow prompt).
    #[must_use]
    pub fn start_gate(mut self, gate: &Gate) -> Self {
        self.start_gate = Some(gate.clone());
        self
    }

    /// Says with its begin that this much of the prompt is spent, by its estimate.
    #[must_use]
    pub fn spending(mut self, prompt: TokenCount) -> Self {
        self.spent = Some(Usage {
            prompt,
            source: UsageSource::Estimated,
            ..Usage::default()
        });
        self
    }

    /// Adds answer text.
    #[must_use]
    pub fn content(self, choice: u32, text: &str) -> Self {
        self.delta(
            choice,
            Delta::Content {
                text: text.to_owned(),
                logprobs: Vec::new(),
            },
        )
    }

    /// Adds reasoning text.
    #[must_use]
    pub fn reasoning(mut self, choice: u32, text: &str) -> Self {
        self.usage.reasoning += TokenCount(1);
        self.delta(
            choice,
            Delta::Reasoning {
                text: text.to_owned(),
            },
        )
    }

    /// Adds any delta and counts one completion token.
    #[must_use]
    pub fn delta(mut self, choice: u32, delta: Delta) -> Self {
        self.usage.completion += TokenCount(1);
        self.event(ChatEventKind::Delta { choice, delta })
    }

    /// Completes a choice.
    #[must_use]
    pub fn finished(self, choice: u32, reason: FinishReason) -> Self {
        let stop = None;
        self.event(ChatEventKind::Finished { choice, reason, stop })
    }

    /// Completes a choice that met a stop text.
    #[must_use]
    pub fn stopped(self, choice: u32, text: &str) -> Self {
        self.event(ChatEventKind::Finished {
            choice,
            reason: FinishReason::Stop,
            stop: Some(text.to_owned()),
        })
    }

    /// Adds any event with the usage so far.
    #[must_use]
    pub fn event(mut self, kind: ChatEventKind) -> Self {
        let usage = self.usage;
        self.steps.push_back(ChatStep::Event(ChatEvent { usage, kind }));
        self
    }

    /// Waits for the gate.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push_back(ChatStep::Wait(gate.clone()));
        self
    }

    /// Fails and ends the stream.
    #[must_use]
    pub fn fail(mut self, error: impl Fn() -> EngineError + Send + Sync + 'static) -> Self {
        self.steps.push_back(ChatStep::Fail(Arc::new(error)));
        self
    }
}

/// A [`ChatEngine`] that plays scripts and remembers what it was asked. Clones share everything.
///
/// Calls take the queued scripts in order; when none is queued, the default script plays.
#[derive(Clone)]
pub struct ScriptedChatEngine(Arc<Shared>);

struct Shared {
    default: ChatScript,
    queued: Mutex<VecDeque<ChatScript>>,
    requests: Mutex<Vec<ChatRequest>>,
    completed: AtomicUsize,
    cancelled: AtomicUsize,
    ended: Notify,
}

impl ScriptedChatEngine {
    /// Makes an engine whose calls play `default` unless another script is queued.
    pub fn new(default: ChatScript) -> Self {
        Self(Arc::new(Shared {
            default,
            queued: Mutex::default(),
            requests: Mutex::default(),
            completed: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            ended: Notify::new(),
        }))
    }

    /// Queues a script for the next call that has none yet.
    pub fn push(&self, script: ChatScript) {
        self.0
            .queued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(script);
    }

    /// The requests that were started so far, in order.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many calls were refused, or read to their last event, failures included.
    pub fn completed(&self) -> usize {
        self.0.completed.load(Ordering::SeqCst)
    }

    /// How many calls were dropped before their end, while starting or while streaming.
    pub fn cancelled(&self) -> usize {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Waits until at least this many calls were cancelled.
    pub async fn wait_for_cancelled(&self, calls: usize) {
        loop {
            // Registered before the check, so that a cancellation in between is not missed.
            let ended = self.0.ended.notified();
            if self.cancelled() >= calls {
                return;
            }
            ended.await;
        }
    }
}

#[async_trait]
impl ChatEngine for ScriptedChatEngine {
    async fn prepare(&self, request: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError> {
        // As an embedded engine, whose forms and calls are the test's own affair.
        if request.demands.contains(&Feature::Vision) {
            return Err(EngineError::Unsupported(Feature::Vision));
        }
        let engine = self.clone();
        let spent = Spent::default();
        Ok(Box::new(PreparedScript {
            engine,
            request,
            spent,
        }))
    }
}

struct PreparedScript {
    engine: ScriptedChatEngine,
    request: Arc<ChatRequest>,
    spent: Spent,
}

#[async_trait]
impl PreparedChat for PreparedScript {
    /// Counts one token per four bytes of content, at least one.
    fn prompt_tokens(&self) -> TokenCount {
        let bytes: usize = self
            .request
            .messages
            .iter()
            .map(|message| message.content.len())
            .sum();
        TokenCount(u32::try_from(bytes / 4).unwrap_or(u32::MAX).max(1))
    }

    fn completion_limit(&self) -> TokenCount {
        let Self { request, .. } = self;
        TokenCount(request.max_tokens.get().saturating_mul(request.choices))
    }

    fn prompt_source(&self) -> UsageSource {
        UsageSource::Engine
    }

    fn spent(&self) -> Option<Spent> {
        Some(self.spent.clone())
    }

    async fn start(self: Box<Self>) -> Result<ChatStream, EngineError> {
        let Self {
            engine: ScriptedChatEngine(shared),
            request,
            spent,
        } = *self;
        shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(kept(&request));
        let queued = shared
            .queued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let mut script = queued.unwrap_or_else(|| shared.default.clone());
        let mut guard = Guard {
            shared,
            complete: false,
        };
        if let Some(usage) = script.spent {
            spent.tell(usage);
        }
        if let Some(gate) = script.start_gate.take() {
            gate.wait().await;
        }
        if let Some(refusal) = &script.refusal {
            guard.complete = true;
            return Err(refusal());
        }
        Ok(Box::pin(stream::unfold((script.steps, guard), play)))
    }
}

async fn play(
    (mut steps, mut guard): (VecDeque<ChatStep>, Guard),
) -> Option<(Result<ChatEvent, EngineError>, (VecDeque<ChatStep>, Guard))> {
    loop {
        let step = steps.pop_front();
        // Set with the last step, since a reader need not poll once more after the last event.
        guard.complete |= steps.is_empty();
        match step? {
            ChatStep::Event(event) => return Some((Ok(event), (steps, guard))),
            ChatStep::Wait(gate) => {
                guard.complete = false;
                gate.wait().await;
                guard.complete = steps.is_empty();
            }
            ChatStep::Fail(error) => {
                steps.clear();
                guard.complete = true;
                return Some((Err(error()), (steps, guard)));
            }
        }
    }
}

/// Counts how a call ended, exactly once.
struct Guard {
    shared: Arc<Shared>,
    complete: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let counter = if self.complete {
            &self.shared.completed
        } else {
            &self.shared.cancelled
        };
        counter.fetch_add(1, Ordering::SeqCst);
        self.shared.ended.notify_waiters();
    }
}

/// A request to remember, with bytes of its own: whoever counts those of the call sees them end with it.
fn kept(request: &ChatRequest) -> ChatRequest {
    let mut request = request.clone();
    if let Some(wire) = &mut request.wire {
        wire.body = Bytes::copy_from_slice(&wire.body);
    }
    request
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;
    use crate::{AnswerForm, Continuation, Priority, Sampling, Thinking, ToolChoice};

    fn request() -> ChatRequest {
        ChatRequest {
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_calls: true,
            form: AnswerForm::Text,
            continuation: Continuation::None,
            sampling: Sampling::greedy(),
            max_tokens: TokenCount(16),
            stop: Vec::new(),
            choices: 1,
            logprobs: None,
            thinking: Thinking::default(),
            demands: Vec::new(),
            priority: Priority::default(),
            account: None,
            image_tokens: None,
            wire: None,
        }
    }

    #[tokio::test]
    async fn queued_scripts_play_before_the_default_one() {
        let engine = ScriptedChatEngine::new(ChatScript::answer(&["default"]));
        engine.push(ChatScript::refusal(|| EngineError::QueueFull));
        assert!(matches!(
            engine.chat(request()).await.err(),
            Some(EngineError::QueueFull)
        ));
        let events: Vec<_> = engine.chat(request()).await.unwrap().collect().await;
        assert_eq!(events.len(), 3);
        assert_eq!(
            (engine.requests().len(), engine.completed(), engine.cancelled()),
            (2, 2, 0)
        );
    }

    #[tokio::test]
    async fn a_stream_dropped_at_its_gate_counts_as_cancelled() {
        let gate = Gate::closed();
        let engine =
            ScriptedChatEngine::new(ChatScript::started(TokenCount(3)).wait(&gate).content(0, "late"));
        let mut stream = engine.chat(request()).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(futures::poll!(stream.next()).is_pending());
        drop(stream);
        engine.wait_for_cancelled(1).await;
        assert_eq!((engine.completed(), engine.cancelled()), (0, 1));
    }

    #[tokio::test]
    async fn an_opened_gate_and_a_failure_in_the_middle_play_in_order() {
        let gate = Gate::closed();
        let script = ChatScript::started(TokenCount(3))
            .wait(&gate)
            .content(0, "a")
            .fail(|| EngineError::Unavailable);
        let engine = ScriptedChatEngine::new(script.content(0, "never"));
        let stream = engine.chat(request()).await.unwrap();
        gate.open();
        let events: Vec<_> = stream.collect().await;
        assert_eq!(events.len(), 3);
        assert!(matches!(events[2], Err(EngineError::Unavailable)));
    }
}
