//! The account of one call: metrics and one summary line, exactly once, however it ends.

use silica_engine::{ChatEvent, ChatEventKind, EngineError, Usage};
use silica_platform::Caller;
use silica_types::{ModelName, RequestId, TraceId};
use tokio::time::Instant;

use crate::{GatewayError, error_chain};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Every choice finished.
    Complete,
    /// The client left.
    Cancelled,
    /// The engine refused, failed or was not there.
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Watches a call and books it when it ends. Dropped without an end, it books a cancellation;
/// a second end changes nothing.
pub(crate) struct CallRecord {
    id: RequestId,
    caller: Caller,
    model: ModelName,
    trace: TraceId,
    usage: Usage,
    begun: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    is_booked: bool,
}

impl CallRecord {
    /// Begins the account; from here on something is booked.
    pub(crate) fn begin(id: RequestId, caller: &Caller, model: &ModelName, trace: &TraceId) -> Self {
        Self {
            id,
            caller: caller.clone(),
            model: model.clone(),
            trace: trace.clone(),
            usage: Usage::default(),
            begun: Instant::now(),
            started: None,
            first_token: None,
            is_booked: false,
        }
    }

    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// Takes notice of an event.
    pub(crate) fn observe(&mut self, event: &ChatEvent) {
        self.usage = event.usage;
        match event.kind {
            ChatEventKind::Started => self.started = Some(Instant::now()),
            ChatEventKind::Delta { .. } if self.first_token.is_none() => {
                let now = Instant::now();
                self.first_token = Some(now);
                let seconds = now.duration_since(self.begun).as_secs_f64();
                metrics::histogram!("silica_first_token_seconds", "model" => self.label()).record(seconds);
            }
            ChatEventKind::Delta { .. } | ChatEventKind::Finished { .. } => {}
        }
    }

    /// Books a complete call.
    pub(crate) fn complete(&mut self) {
        self.book(Outcome::Complete);
    }

    /// Books a call that was refused or failed. Failures of the engine are logged here, where
    /// their cause is still known; refusals are the caller's affair.
    pub(crate) fn fail(&mut self, error: &GatewayError) {
        if is_fault_of_the_server(error) {
            tracing::error!(
                trace.id = %self.trace,
                request.id = %self.id,
                model.name = %self.model,
                error = %error_chain(error),
                "call of {} failed",
                self.model
            );
        }
        self.book(Outcome::Failed);
    }

    fn book(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_booked, true) {
            return;
        }
        let usage = self.usage;
        metrics::counter!("silica_calls_total", "model" => self.label(), "outcome" => outcome.as_str())
            .increment(1);
        for (kind, tokens) in [("prompt", usage.prompt), ("completion", usage.completion)] {
            metrics::counter!("silica_tokens_total", "model" => self.label(), "kind" => kind)
                .increment(u64::from(tokens.get()));
        }
        let since_begun =
            |at: Instant| u64::try_from(at.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            route = "chat",
            trace.id = %self.trace,
            request.id = %self.id,
            account.id = %self.caller.account,
            key.id = %self.caller.key,
            model.name = %self.model,
            outcome = outcome.as_str(),
            prompt_tokens = usage.prompt.get(),
            cached_tokens = usage.cached.get(),
            completion_tokens = usage.completion.get(),
            reasoning_tokens = usage.reasoning.get(),
            prompt_ms = self.started.map(since_begun),
            first_token_ms = self.first_token.map(since_begun),
            total_ms = since_begun(Instant::now()),
            "call of {} {}",
            self.model,
            outcome.as_str()
        );
    }

    /// The model as a metric label. Only catalogue names come here, never a caller's text.
    fn label(&self) -> String {
        self.model.as_str().to_owned()
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.book(Outcome::Cancelled);
    }
}

fn is_fault_of_the_server(error: &GatewayError) -> bool {
    match error {
        GatewayError::NotLoaded
        | GatewayError::Cut
        | GatewayError::Engine(EngineError::Failed(_) | EngineError::Unavailable) => true,
        GatewayError::UnknownModel
        | GatewayError::ModelDisabled
        | GatewayError::Unsupported(_)
        | GatewayError::Overloaded
        | GatewayError::Engine(
            EngineError::ContextExceeded { .. }
            | EngineError::Unsupported(_)
            | EngineError::InvalidRequest(_)
            | EngineError::QueueFull,
        ) => false,
    }
}
