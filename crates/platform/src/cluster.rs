//! One of several nodes: what it counts together with the others, and how it gets on without them.
//!
//! A node's own wallets and caps go on as on a single node; they say what this process holds and has settled.
//! Beside them stands the [`Book`]: while the node is a member of an epoch, limits and money are asked for in Redis,
//! and every end of a call is told there. When the connection is lost the node goes on by its [`Outage`] rules. It
//! comes back by joining anew (`membership.rs`): its journal is applied, balances are installed from
//! the database, and one script claims at once what its calls hold and have settled. From the moment that
//! the claim is written down, everything that ends is kept and told after it, so nothing is told twice or
//! not at all.

mod admission;
mod keys;
mod membership;
mod outage;
mod purchase;
mod state;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use silica_billing::{Bucket, Wallets};
use silica_cluster::{ClusterOptions, Epoch, Finish, Installed, Member, MonthSpent};
use silica_types::Money;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

pub(crate) use admission::{Admission, Asked, Granted};
pub(crate) use keys::KeyTab;
pub(crate) use outage::AllowanceHold;
pub use outage::OutagePolicy;
pub(crate) use purchase::PriceHold;

use outage::Outage;
use state::{Stage, State};

/// Ends that are kept while a node joins.
const KEPT: usize = 8_192;
/// The pause between two looks whether this node has joined.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// 1 while this process counts together with the others.
const MEMBER: &str = "silica_cluster_member";

/// How a node takes part in a cluster.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where Redis is, and who this node is.
    pub options: ClusterOptions,
    /// What it does without Redis.
    pub outage: OutagePolicy,
}

/// What must be told to Redis, once.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// A call has ended. Its windows are corrected only in the epoch that they belong to.
    Finished {
        finish: Box<Finish>,
        epoch: Option<Epoch>,
    },
    /// The database has taken over what was settled.
    Applied(Vec<Installed>, Vec<MonthSpent>),
}

/// A node's side of what is counted together. Cheap to clone: clones share everything.
#[derive(Clone)]
pub(crate) struct Book(Arc<Inner>);

struct Inner {
    settings: ClusterSettings,
    wallets: Wallets,
    state: State,
    outage: Outage,
    /// Wakes whoever joins when the membership is lost.
    lost: Notify,
    tellings: TaskTracker,
    has_left: AtomicBool,
    /// Since when the database has taken signs of life without a failure.
    heard: Mutex<Option<tokio::time::Instant>>,
}

impl Book {
    pub(crate) fn new(settings: ClusterSettings, wallets: Wallets) -> Self {
        let outage = Outage::new(settings.outage.clone());
        metrics::gauge!(MEMBER).set(0.0);
        Self(Arc::new(Inner {
            settings,
            wallets,
            state: State::default(),
            outage,
            lost: Notify::new(),
            tellings: TaskTracker::new(),
            has_left: AtomicBool::new(false),
            heard: Mutex::default(),
        }))
    }

    /// The membership, while there is one.
    pub(crate) fn member(&self) -> Option<Arc<Member>> {
        self.0.state.member()
    }

    /// Waits until this node counts together with the others.
    pub(crate) async fn joined(&self) {
        while self.member().is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The rules for the time without Redis.
    pub(crate) fn outage(&self) -> &Outage {
        &self.0.outage
    }

    /// Ends the membership because Redis did not do as it was told. Joining anew sets everything right, so it
    /// does not matter what of it was done.
    pub(crate) fn lose(&self, member: &Member) {
        if self.0.state.leave(member) {
            metrics::gauge!(MEMBER).set(0.0);
            self.0.lost.notify_one();
        }
    }

    /// Changes what this node's own books say and tells it, in one step for whoever writes down a claim. `change`
    /// is told whether what began in an earlier generation than the one that it returns was claimed.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&KeyTab, u64) -> (T, Option<Told>)) -> T {
        let mut state = self.0.state.lock();
        let (result, told) = change(&state.keys, state.generation);
        if let Some(told) = told {
            self.tell(&mut state.stage, told);
        }
        result
    }

    /// Takes over buckets as the database has them: here, and for all nodes.
    pub(crate) fn take_over(&self, buckets: &[Bucket]) {
        let mut state = self.0.state.lock();
        for bucket in buckets {
            self.0.wallets.install(bucket);
        }
        state.note_changed(buckets);
        let installed = buckets.iter().map(|bucket| Installed {
            bucket: bucket.clone(),
            settled: Money::ZERO,
        });
        let told = Told::Applied(installed.collect(), Vec::new());
        self.tell(&mut state.stage, told);
    }

    /// As [`Book::take_over`]; returns when all nodes can spend what has come.
    pub(crate) async fn take_over_now(&self, buckets: &[Bucket]) {
        self.take_over(buckets);
        let Some(member) = self.member() else {
            return;
        };
        if let Err(error) = Member::install(member.link(), member.epoch(), buckets).await {
            self.failed(&member, &error);
        }
    }

    /// Notes a failure of Redis and ends the membership.
    pub(crate) fn failed(&self, member: &Member, error: &silica_cluster::ClusterError) {
        tracing::warn!(error = %crate::error::chain(error), "Redis failed; this node joins again");
        self.lose(member);
    }

    /// Does something to its end, whether somebody waits for it or not; [`Book::leave`] does.
    pub(crate) fn later<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.tellings.spawn(work)
    }

    fn tell(&self, stage: &mut Stage, told: Told) {
        match stage {
            // The claim of the next joining has it.
            Stage::Away => {}
            Stage::Joining(kept) if kept.len() < KEPT => kept.push(told),
            // A new claim has it all.
            Stage::Joining(_) => *stage = Stage::Away,
            Stage::Ready(member) => self.send(Arc::clone(member), told),
        }
    }

    fn send(&self, member: Arc<Member>, told: Told) {
        let book = self.clone();
        self.0.tellings.spawn(async move {
            let done = match told {
                Told::Finished { mut finish, epoch } => {
                    if epoch.as_ref() != Some(member.epoch()) {
                        finish.corrections.clear();
                    }
                    member.finish(&finish).await
                }
                Told::Applied(buckets, months) => member.applied(&buckets, &months).await,
            };
            match done {
                Ok(true) => {}
                Ok(false) => book.lose(&member),
                Err(error) => book.failed(&member, &error),
            }
        });
    }

    /// Leaves in order, at the end of the process: everything is told, and nothing is held any more.
    pub(crate) async fn leave(&self) {
        self.0.has_left.store(true, Ordering::Release);
        self.0.tellings.close();
        self.0.tellings.wait().await;
        if let Some(member) = self.member() {
            if let Err(error) = member.leave().await {
                tracing::warn!(error = %crate::error::chain(&error), "Redis does not hear that this node leaves; what it holds is free after a while");
            }
            self.0.state.leave(&member);
            member.link().close().await;
        }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Book").finish_non_exhaustive()
    }
}
