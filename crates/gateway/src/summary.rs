//! What there is to say of a call when it is over, for those who record traces.
//!
//! Nothing of this is kept for a call that nobody wants to hear of: a record asks once, at its
//! begin, and does without when the answer is no.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use silica_engine::{EngineError, FinishReason, Usage};
use silica_platform::{CallFacts, Deployment, ReplicaSpec};
use silica_types::{ModelName, RequestId, TraceId};
use tokio::time::Instant;

use crate::{CallKind, GatewayError};

/// Takes the summaries of calls. Both functions are called on the way of every call.
pub trait CallSink: Send + Sync {
    /// Whether the call with this trace is to be summed up.
    fn wants(&self, trace: &TraceId) -> bool;

    /// Takes a summary; must not wait.
    fn take(&self, summary: CallSummary);
}

/// A call that is over. Holds nothing of its prompt, its answer or any key.
#[derive(Debug, Clone)]
pub struct CallSummary {
    /// The caller's trace.
    pub trace: TraceId,
    /// The call's id.
    pub id: RequestId,
    /// What was asked for, such as `chat`.
    pub operation: &'static str,
    /// The model that was asked for.
    pub model: ModelName,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took in all.
    pub duration: Duration,
    /// When the first text came, from the begin; `None` when none came.
    pub first_token: Option<Duration>,
    /// `complete`, `cancelled`, `failed` or `refused`.
    pub outcome: &'static str,
    /// What kind of error ended it; `None` when none did.
    pub error: Option<&'static str>,
    /// What it consumed.
    pub usage: Usage,
    /// Why its choices ended, in the order in which they did.
    pub finish_reasons: Vec<FinishReason>,
    /// The replicas that were tried, in order; the last one answered, if any did.
    pub attempts: Vec<CallAttempt>,
}

/// One try of a call at one replica.
#[derive(Debug, Clone)]
pub struct CallAttempt {
    /// The replica's deployment.
    pub deployment: String,
    /// The replica's position in it, from 0.
    pub replica: usize,
    /// The server's base URL, which holds no secret; `None` for an embedded engine.
    pub server: Option<String>,
    /// When it began, from the begin of the call.
    pub begun: Duration,
    /// How long it took.
    pub duration: Duration,
    /// What kind of error ended it; `None` when none did.
    pub error: Option<&'static str>,
}

/// Collects the summary of a call that is wanted.
pub(crate) struct Watch {
    sink: Arc<dyn CallSink>,
    operation: &'static str,
    begun: Instant,
    error: Option<&'static str>,
    finish_reasons: Vec<FinishReason>,
    attempts: Vec<CallAttempt>,
    /// Whether the last attempt is still going on.
    is_trying: bool,
}

impl Watch {
    /// Begins to collect, if the sink wants to hear of the call.
    pub(crate) fn begin(
        sink: Option<&Arc<dyn CallSink>>,
        trace: &TraceId,
        kind: CallKind,
    ) -> Option<Box<Self>> {
        let sink = sink.filter(|sink| sink.wants(trace))?;
        Some(Box::new(Self {
            sink: Arc::clone(sink),
            operation: kind.operation(),
            begun: Instant::now(),
            error: None,
            finish_reasons: Vec::new(),
            attempts: Vec::new(),
            is_trying: false,
        }))
    }

    /// Notes that a replica is tried.
    pub(crate) fn tries(&mut self, deployment: &Deployment, position: usize) {
        self.stop_trying(None);
        let spec: Option<&ReplicaSpec> = deployment.replicas.get(position);
        self.attempts.push(CallAttempt {
            deployment: deployment.name.clone(),
            replica: position,
            server: spec.and_then(|spec| spec.url.clone()),
            begun: self.begun.elapsed(),
            duration: Duration::ZERO,
            error: None,
        });
        self.is_trying = true;
    }

    /// Notes why the replica that is tried did not answer.
    pub(crate) fn gave_up(&mut self, error: &EngineError) {
        self.stop_trying(Some(kind_of_engine_error(error)));
    }

    /// Notes what ends the call.
    pub(crate) fn failed(&mut self, error: &GatewayError) {
        self.error.get_or_insert(kind_of(error));
    }

    /// Notes that a choice ended.
    pub(crate) fn finished(&mut self, reason: FinishReason) {
        self.finish_reasons.push(reason);
    }

    /// Hands the summary over.
    pub(crate) fn end(
        mut self,
        facts: &CallFacts,
        model: &ModelName,
        outcome: &'static str,
        first_token: Option<Instant>,
        usage: Usage,
    ) {
        self.stop_trying(self.error);
        let begun = self.begun;
        self.sink.take(CallSummary {
            trace: facts.trace.clone(),
            id: facts.id,
            operation: self.operation,
            model: model.clone(),
            started_at: facts.started_at,
            duration: begun.elapsed(),
            first_token: first_token.map(|at| at.duration_since(begun)),
            outcome,
            error: self.error,
            usage,
            finish_reasons: std::mem::take(&mut self.finish_reasons),
            attempts: std::mem::take(&mut self.attempts),
        });
    }

    fn stop_trying(&mut self, error: Option<&'static str>) {
        let is_trying = std::mem::replace(&mut self.is_trying, false);
        if let Some(attempt) = self.attempts.last_mut().filter(|_| is_trying) {
            attempt.duration = self.begun.elapsed().saturating_sub(attempt.begun);
            attempt.error = error;
        }
    }
}

/// A short name for a kind of error, of which there are few.
const fn kind_of(error: &GatewayError) -> &'static str {
    match error {
        GatewayError::UnknownModel => "unknown_model",
        GatewayError::ModelDisabled => "model_disabled",
        GatewayError::Unsupported(_) => "unsupported",
        GatewayError::NotLoaded => "not_loaded",
        GatewayError::Overloaded => "overloaded",
        GatewayError::Refused(_) => "refused",
        GatewayError::NotSettled(_) => "not_settled",
        GatewayError::Moderated(_) => "moderated",
        GatewayError::Unmoderated(_) => "unmoderated",
        GatewayError::Cut => "cut",
        GatewayError::Engine(error) => kind_of_engine_error(error),
    }
}

/// As [`kind_of`], of an engine.
const fn kind_of_engine_error(error: &EngineError) -> &'static str {
    match error {
        EngineError::ContextExceeded { .. } => "context_exceeded",
        EngineError::Unsupported(_) => "unsupported",
        EngineError::InvalidRequest(_) => "invalid_request",
        EngineError::Unconstrainable { .. } => "unconstrainable",
        EngineError::InvalidParameter(_) => "invalid_parameter",
        EngineError::QueueFull => "queue_full",
        EngineError::RateLimited { .. } => "rate_limited",
        EngineError::Unavailable => "unavailable",
        EngineError::TimedOut(_) => "timeout",
        EngineError::AnswerTooLong { .. } => "answer_too_long",
        EngineError::Failed(_) => "engine_failed",
    }
}
