//! The port that limits are counted through, and its words.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use silica_types::{AccountId, ApiKeyId, ModelName};

use super::{Counted, LimitSet, Metric};
use crate::BillingDay;

/// Whose calls are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An account's calls of one model.
    Model {
        /// The account.
        account: AccountId,
        /// The model.
        model: ModelName,
    },
    /// A key's calls of all models.
    Key(ApiKeyId),
}

impl Subject {
    /// Returns what kind of subject it is.
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::Model { .. } => SubjectKind::Model,
            Self::Key(_) => SubjectKind::Key,
        }
    }
}

/// What kind of subject a limit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// The model's limits for the account.
    Model,
    /// The key's own limits.
    Key,
}

/// A subject and what limits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose calls.
    pub subject: Subject,
    /// What they may.
    pub limits: LimitSet,
}

/// A moment, as the limits see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time since the start of the process, of a clock that never jumps: minute and hour
    /// windows count by it.
    pub monotonic: Duration,
    /// The calendar day in the configured zone: day windows count by it.
    pub day: BillingDay,
    /// The time until that day ends.
    pub until_midnight: Duration,
}

/// What a call needs at most, or has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Tokens, of the prompt and of the completion together.
    pub tokens: u64,
    /// Images or videos.
    pub images: u64,
}

impl Need {
    /// Nothing.
    pub const NOTHING: Self = Self { tokens: 0, images: 0 };

    /// Returns how much a metric counts of it; a request is one.
    pub const fn of(&self, counted: Counted) -> u64 {
        match counted {
            Counted::Requests => 1,
            Counted::Tokens => self.tokens,
            Counted::Images => self.images,
        }
    }
}

/// What one metric counts for a call that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPart {
    /// Whose.
    pub subject: Subject,
    /// Which metric.
    pub metric: Metric,
    /// The limit that it was taken from.
    pub limit: u64,
    /// How much was taken: what the call needs, at most the limit.
    pub amount: u64,
    /// Where it was counted: the number of the window's slot, or of the day.
    pub slot: u64,
}

/// What a call has taken of the token and image metrics. Handing it to
/// [`LimitCounters::correct`] consumes it, so nothing is corrected twice.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "what is not corrected counts as used"]
pub struct Taken {
    /// One part for each limited metric of each scope.
    pub parts: Vec<TakenPart>,
}

/// How a limit stands: what the `x-ratelimit-*` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The metric.
    pub metric: Metric,
    /// Its limit.
    pub limit: u64,
    /// What is left of it now.
    pub remaining: u64,
    /// When all of it is there again if nothing more is taken.
    pub reset: Duration,
}

/// A limit refuses the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{metric} limit of {limit} reached, retry after {} s", retry_after.as_secs())]
pub struct LimitReached {
    /// The first metric that has no room.
    pub metric: Metric,
    /// Its limit.
    pub limit: u64,
    /// When the same call would find room if nothing else came: whole seconds, at least one.
    pub retry_after: Duration,
    /// Whether the model's limits or the key's own refuse.
    pub subject: SubjectKind,
}

/// Counts calls against limits. [`super::MemoryCounters`] counts within one process.
///
/// A metric is counted while it is limited: one that gets its first limit begins empty.
#[async_trait]
pub trait LimitCounters: Send + Sync + fmt::Debug {
    /// Begins a request: checks the request metrics of all scopes, then counts one on each. A
    /// request that fails later stays counted.
    ///
    /// # Errors
    /// [`LimitReached`] for the first metric without room, in the order of the scopes and of
    /// [`Metric::ALL`]; then nothing is counted.
    async fn begin(&self, scopes: &[Scope], at: Moment) -> Result<(), LimitReached>;

    /// Takes what a call needs from the token and image metrics of all scopes: of each the need,
    /// but at most the limit, so that a call larger than the limit is admitted into an empty
    /// window.
    ///
    /// # Errors
    /// [`LimitReached`] as for [`LimitCounters::begin`]; then nothing is taken.
    async fn take(&self, scopes: &[Scope], need: Need, at: Moment) -> Result<Taken, LimitReached>;

    /// Replaces what was taken by what was used ([`Need::NOTHING`] when the call did not run).
    ///
    /// What is used above a limit is debt: it is counted later, as the window gets empty, so a call
    /// blocks as many windows as it was large.
    fn correct(&self, taken: Taken, used: Need, at: Moment);

    /// Returns how each limited metric of a scope stands, in the order of [`Metric::ALL`].
    async fn standing(&self, scope: &Scope, at: Moment) -> Vec<Standing>;

    /// Restores what a subject has used on a day, at start: day windows count the higher of this
    /// and what they have.
    fn install_day(&self, subject: Subject, day: BillingDay, requests: u64, used: Need);
}
