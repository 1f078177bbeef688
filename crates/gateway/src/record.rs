//! The account of one call: settlement, metrics and one summary line, exactly once, however it ends.

use std::sync::Arc;

use jiff::Timestamp;
use silica_engine::{ChatEvent, ChatEventKind, EngineError, FinishReason, Spent, Usage};
use silica_platform::{
    CallFacts, CallStatus, Caller, Commit, Deployment, Refusal, Reservation, Settled, Standings, Units,
};
use silica_types::{Money, RequestId};
use tokio::time::Instant;

use crate::model_meters::{ModelMeters, Outcome};
use crate::pace::Pace;
use crate::replica::Seat;
use crate::summary::Watch;
use crate::{CallKind, CallSink, GatewayError, error_chain};

impl Outcome {
    const fn status(self) -> CallStatus {
        match self {
            Self::Complete => CallStatus::Complete,
            Self::Cancelled => CallStatus::Cancelled,
            Self::Failed | Self::Refused => CallStatus::Failed,
        }
    }
}

/// How an answer goes to the client, which decides what a failure costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Event by event: what was sent before the engine failed is billed.
    Streamed,
    /// In one piece: an engine that fails leaves the client nothing, so nothing is billed.
    Whole,
}

/// Watches a call and books it when it ends. Dropped without an end, it books a cancellation;
/// a second end changes nothing.
pub(crate) struct CallRecord {
    facts: CallFacts,
    caller: Caller,
    /// Those of the model that was asked for.
    meters: Arc<ModelMeters>,
    kind: CallKind,
    delivery: Delivery,
    reservation: Option<Reservation>,
    usage: Usage,
    /// What the replica that is tried costs before it answers.
    spent: Option<Spent>,
    /// What the engine has used for what is held back of its answer.
    produced: Option<Usage>,
    begun: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    pace: Pace,
    is_booked: bool,
    /// Collects the call's summary when somebody wants it.
    watch: Option<Box<Watch>>,
}

impl CallRecord {
    /// Begins the account; from here on something is booked.
    pub(crate) fn begin(facts: CallFacts, kind: CallKind, caller: &Caller, meters: Arc<ModelMeters>) -> Self {
        Self {
            facts,
            caller: caller.clone(),
            meters,
            kind,
            delivery: Delivery::Streamed,
            reservation: None,
            usage: Usage::default(),
            spent: None,
            produced: None,
            begun: Instant::now(),
            started: None,
            first_token: None,
            pace: Pace::default(),
            is_booked: false,
            watch: None,
        }
    }

    /// Collects the summary of the call for a sink that wants it.
    pub(crate) fn watch(&mut self, sink: Option<&Arc<dyn CallSink>>) {
        self.watch = Watch::begin(sink, &self.facts.trace, self.kind);
    }

    /// Takes notice of a replica that is tried.
    pub(crate) fn tries(&mut self, deployment: &Deployment, seat: &Seat) {
        if let Some(watch) = &mut self.watch {
            watch.tries(deployment, seat.position());
        }
    }

    /// Takes notice of where the replica that is tried tells what it costs before it answers.
    pub(crate) fn spends(&mut self, spent: Option<Spent>) {
        self.spent = spent;
    }

    /// Takes notice of why the replica that is tried does not answer.
    pub(crate) fn gave_up(&mut self, error: &EngineError) {
        self.spent = None;
        if let Some(watch) = &mut self.watch {
            watch.gave_up(error);
        }
    }

    pub(crate) fn id(&self) -> RequestId {
        self.facts.id
    }

    pub(crate) fn facts(&self) -> CallFacts {
        self.facts.clone()
    }

    /// When the call began.
    pub(crate) const fn started_at(&self) -> Timestamp {
        self.facts.started_at
    }

    /// Says how the answer will go to the client.
    pub(crate) const fn deliver(&mut self, delivery: Delivery) {
        self.delivery = delivery;
    }

    /// Takes over what was reserved for the call; it is settled or given back with the call's end.
    pub(crate) fn reserved(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    /// How the account stands with its limits; nothing for a call that was not admitted.
    pub(crate) fn standings(&self) -> Option<&Standings> {
        self.reservation.as_ref().map(Reservation::standings)
    }

    /// Takes notice of an event.
    pub(crate) fn observe(&mut self, event: &ChatEvent) {
        self.usage = event.usage;
        match event.kind {
            ChatEventKind::Started => self.started = Some(Instant::now()),
            ChatEventKind::Delta { .. } => self.text_came(),
            ChatEventKind::Forwarded { has_text, end, .. } => {
                self.started.get_or_insert_with(Instant::now);
                if has_text {
                    self.text_came();
                }
                if let Some(reason) = end {
                    self.finished(reason);
                }
            }
            ChatEventKind::Finished { reason, .. } => self.finished(reason),
        }
    }

    /// Takes notice of what the engine has used for an event that is held back until it is judged. Only a
    /// client that leaves pays for it.
    pub(crate) const fn produced(&mut self, usage: Usage) {
        self.produced = Some(usage);
    }

    /// Takes notice of an answer in one piece.
    pub(crate) fn answered(&mut self, usage: Usage) {
        self.usage = usage;
        self.started = Some(Instant::now());
    }

    /// Counts one more attempt, after a replica that failed.
    pub(crate) fn retried(&self) {
        self.meters.retried();
    }

    fn finished(&mut self, reason: FinishReason) {
        if let Some(watch) = &mut self.watch {
            watch.finished(reason);
        }
    }

    fn text_came(&mut self) {
        let now = Instant::now();
        self.pace.text_came(now, &self.meters);
        if self.first_token.is_some() {
            return;
        }
        self.first_token = Some(now);
        self.meters.first_token(now.duration_since(self.begun));
    }

    /// Books a complete call. Its answer may end when the commit has resolved; `None` when there
    /// is nothing to wait for.
    pub(crate) fn complete(&mut self) -> Option<Commit> {
        self.book(Outcome::Complete)
    }

    /// Books a call that was refused or failed. Failures of the engine are logged here, where
    /// their cause is still known; refusals are the caller's affair.
    /// Its error may go out when the commit has resolved.
    pub(crate) fn fail(&mut self, error: &GatewayError) -> Option<Commit> {
        if is_fault_of_the_server(error) {
            tracing::error!(
                trace.id = %self.facts.trace,
                request.id = %self.facts.id,
                model.name = %self.meters.model(),
                error = %error_chain(error),
                "call of {} failed",
                self.meters.model()
            );
        }
        if let Some(watch) = &mut self.watch {
            watch.failed(error);
        }
        let refused = matches!(error, GatewayError::Refused(_) | GatewayError::Moderated(_));
        self.book(if refused {
            Outcome::Refused
        } else {
            Outcome::Failed
        })
    }

    /// Books a request that is not valid for its model; no engine was asked.
    pub(crate) fn invalid(&mut self) {
        drop(self.book(Outcome::Failed));
    }

    /// Notes what a call has used whose client left before the engine answered, or before the answer was
    /// let through.
    fn left(&mut self) {
        if let Some(usage) = self.produced.take() {
            self.usage = usage;
            self.started.get_or_insert_with(Instant::now);
        }
        if self.started.is_none()
            && let Some(usage) = self.spent.as_ref().and_then(Spent::usage)
        {
            self.usage = usage;
            self.started = Some(Instant::now());
        }
    }

    /// Settles what the engine has used. A call that ended before the engine began, or whose client
    /// got nothing of a failed answer, costs nothing. A client that left pays what was produced, and
    /// what the engine had begun to work on.
    fn settle(&mut self, outcome: Outcome) -> Option<(Money, Commit)> {
        let reservation = self.reservation.as_mut()?;
        let is_failed = matches!(outcome, Outcome::Failed | Outcome::Refused);
        let client_got_nothing = is_failed && self.delivery == Delivery::Whole;
        if self.started.is_none() || client_got_nothing {
            reservation.release();
            return None;
        }
        let usage = self.usage;
        reservation.settle(&Settled {
            units: Units {
                prompt_tokens: usage.prompt.get().into(),
                cached_tokens: usage.cached.get().into(),
                completion_tokens: usage.completion.get().into(),
                reasoning_tokens: usage.reasoning.get().into(),
                ..Units::default()
            },
            source: usage.source,
            status: outcome.status(),
        })
    }

    fn book(&mut self, outcome: Outcome) -> Option<Commit> {
        if std::mem::replace(&mut self.is_booked, true) {
            return None;
        }
        if outcome == Outcome::Cancelled {
            self.left();
        }
        let settled = self.settle(outcome);
        let amount = settled.as_ref().map_or(Money::ZERO, |(amount, _)| *amount);
        let usage = self.usage;
        let route = self.kind.as_str();
        let model = self.meters.model();
        self.meters.ended(self.kind, outcome, usage);
        let since_begun =
            |at: Instant| u64::try_from(at.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            route,
            trace.id = %self.facts.trace,
            request.id = %self.facts.id,
            account.id = %self.caller.account,
            key.id = %self.caller.key,
            model.name = %model,
            outcome = outcome.as_str(),
            prompt_tokens = usage.prompt.get(),
            cached_tokens = usage.cached.get(),
            completion_tokens = usage.completion.get(),
            reasoning_tokens = usage.reasoning.get(),
            cost = %amount,
            prompt_ms = self.started.map(since_begun),
            first_token_ms = self.first_token.map(since_begun),
            total_ms = since_begun(Instant::now()),
            "call of {model} {}",
            outcome.as_str()
        );
        if let Some(watch) = self.watch.take() {
            watch.end(
                &self.facts,
                self.meters.model(),
                outcome.as_str(),
                self.first_token,
                usage,
            );
        }
        settled.map(|(_, commit)| commit)
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        // The commit goes on by itself; nobody is left to wait for it.
        drop(self.book(Outcome::Cancelled));
    }
}

fn is_fault_of_the_server(error: &GatewayError) -> bool {
    match error {
        GatewayError::NotLoaded
        | GatewayError::Cut
        | GatewayError::Unmoderated(_)
        | GatewayError::NotSettled(_)
        | GatewayError::Engine(
            EngineError::Failed(_)
            | EngineError::TimedOut(_)
            | EngineError::Unavailable
            | EngineError::AnswerTooLong { .. },
        ) => true,
        GatewayError::UnknownModel
        | GatewayError::ModelDisabled
        | GatewayError::Unsupported(_)
        | GatewayError::Overloaded
        | GatewayError::Moderated(_)
        | GatewayError::Refused(
            Refusal::Journal(_)
            | Refusal::Busy
            | Refusal::NoCounters
            | Refusal::ModelNotAllowed
            | Refusal::Limit(_)
            | Refusal::SpendCap(_)
            | Refusal::Balance(_),
        )
        | GatewayError::Engine(
            EngineError::ContextExceeded { .. }
            | EngineError::Unsupported(_)
            | EngineError::InvalidRequest(_)
            | EngineError::Unconstrainable { .. }
            | EngineError::InvalidParameter(_)
            | EngineError::QueueFull
            | EngineError::RateLimited { .. },
        ) => false,
    }
}
