//! How a node comes into an epoch, stays in it, and prepares one with the others.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use silica_billing::{BillingDay, Moment, Subject};
use silica_cluster::{
    Claim, ClusterError, ClusterOptions, DayUse, Epoch, Installed, Link, Member, MonthSpent,
};
use silica_storage::{Storage, StorageError, bills, buckets, nodes};
use silica_types::{ApiKeyId, Money};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keys::DueMonth;
use super::state::Stage;
use super::{Book, MEMBER, Told};
use crate::error::chain;
use crate::metering::Meter;
use crate::{Platform, PlatformError};

/// The pauses after failures, growing from the first to the last.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// The pause between two looks whether all nodes have joined.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Signs of life for each time after which silence counts as death.
const BEATS: u32 = 5;
/// How often it is said whom an epoch waits for.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error(transparent)]
    Redis(#[from] ClusterError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error("the database does not say what the nodes have to know")]
    Storage(#[from] StorageError),
    #[error("another epoch was opened meanwhile")]
    Overtaken,
}

impl Meter {
    /// Keeps this node in the cluster until `shutdown`; returns at once on a node that is alone. The membership
    /// itself outlasts it: see [`Meter::leave_cluster`].
    pub async fn cluster_loop(self, shutdown: CancellationToken) {
        let Some(book) = self.platform().book().cloned() else {
            return;
        };
        let mut failures = 0_usize;
        while !shutdown.is_cancelled() {
            let outcome = tokio::select! {
                () = shutdown.cancelled() => return,
                outcome = self.join(&book) => outcome,
            };
            match outcome {
                Ok(member) => {
                    tracing::info!("counting together with the other nodes");
                    failures = 0;
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = book.stay(self.platform(), &member) => {}
                    }
                    tracing::error!("Redis is lost; going on alone as configured (cluster.without_redis)");
                    member.link().close().await;
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::error!(error = %chain(&error), "this node cannot count together with the others; trying on");
                    }
                    let pause = PAUSES[failures.min(PAUSES.len() - 1)];
                    failures += 1;
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Says every now and then in the database that this node is alive, until `shutdown`: an epoch that is prepared
    /// waits for all that are.
    pub async fn alive_loop(self, shutdown: CancellationToken) {
        let Some(book) = self.platform().book().cloned() else {
            return;
        };
        let options = &book.0.settings.options;
        let mut ticks = tokio::time::interval(options.member_timeout / BEATS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            book.give_sign(self.platform().storage()).await;
        }
    }

    /// Leaves the cluster in order, when the last calls are settled and applied.
    pub async fn leave_cluster(&self) {
        let Some(book) = self.platform().book() else {
            return;
        };
        book.leave().await;
        if let Err(error) = nodes::remove(self.platform().storage(), book.0.settings.options.node).await {
            tracing::warn!(error = %chain(&error), "the database does not hear that this node leaves");
        }
    }

    /// Joins the epoch that is open, or prepares one with the others.
    async fn join(&self, book: &Book) -> Result<Arc<Member>, JoinError> {
        let (options, storage) = (&book.0.settings.options, self.platform().storage());
        book.give_sign(storage).await;
        let link = Link::connect(options).await?;
        let open = link.open_epoch().await?;
        let epoch = match &open {
            Some(epoch) => epoch.clone(),
            None => link.propose_epoch().await?,
        };
        // What the database has is in the balances; all that is left to claim is what runs, and what is settled from here on.
        self.apply_now().await?;
        book.0.state.lock().begin_noting();
        Member::install(&link, &epoch, &buckets::all(storage).await?).await?;
        let member = Arc::new(book.claim(&link, &epoch).await?);
        if open.is_none() {
            self.open_with_others(book, &member).await?;
        }
        let beat = member.beat(options).await?;
        book.0.outage.set_nodes(beat.alive);
        if beat.alive > 0 && book.enter(&member) {
            Ok(member)
        } else {
            Err(JoinError::Overtaken)
        }
    }

    /// Waits until every node that is alive has joined, and opens the epoch.
    async fn open_with_others(&self, book: &Book, member: &Arc<Member>) -> Result<(), JoinError> {
        let (options, storage) = (&book.0.settings.options, self.platform().storage());
        let mut complain = tokio::time::Instant::now() + COMPLAIN_EVERY;
        loop {
            if let Some(open) = member.link().open_epoch().await? {
                return if open == *member.epoch() {
                    Ok(())
                } else {
                    Err(JoinError::Overtaken)
                };
            }
            // The others may have given this one up, and what is prepared may be another one by now.
            let is_alive = member.beat(options).await?.alive > 0;
            if !is_alive || !book.is_joining() || member.link().propose_epoch().await? != *member.epoch() {
                return Err(JoinError::Overtaken);
            }
            let joined = member.nodes().await?;
            let within = book.waits_for(options);
            let alive: HashSet<Uuid> = nodes::alive(storage, within).await?.into_iter().collect();
            let missing: Vec<_> = alive.difference(&joined).collect();
            if missing.is_empty() && joined.contains(&options.node) {
                let at = self.moment_now();
                member.install_days(&days(storage, at.day).await?, at).await?;
                if member.link().open(member.epoch()).await? {
                    tracing::info!(
                        "a new epoch is open: amounts are those of the database less what nodes hold"
                    );
                    member.link().sweep(member.epoch()).await?;
                }
            }
            if tokio::time::Instant::now() >= complain {
                tracing::warn!(
                    ?missing,
                    "waiting for nodes that are alive and have not reached Redis"
                );
                complain += COMPLAIN_EVERY;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn moment_now(&self) -> Moment {
        self.moment(self.platform().shared.clock.now())
    }
}

impl Book {
    /// Says in the database that this node is alive; hears how many are while Redis does not tell.
    async fn give_sign(&self, storage: &Storage) {
        let options = &self.0.settings.options;
        let heard = match nodes::seen(storage, options.node).await {
            Ok(()) if self.member().is_some() => Ok(None),
            Ok(()) => nodes::alive(storage, options.member_timeout).await.map(Some),
            Err(error) => Err(error),
        };
        let mut since = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Ok(alive) => {
                since.get_or_insert_with(tokio::time::Instant::now);
                if let Some(alive) = alive {
                    self.0.outage.set_nodes(alive.len() as u64);
                }
            }
            // The applier says that the database is down.
            Err(_) => *since = None,
        }
    }

    /// Writes down what this node holds and has settled, and claims it. What ends from then on is kept, and told
    /// by [`Book::enter`].
    async fn claim(&self, link: &Link, epoch: &Epoch) -> Result<Member, ClusterError> {
        let (fresh, claims, keys) = {
            let mut state = self.0.state.lock();
            state.generation += 1;
            state.stage = Stage::Joining(Vec::new());
            let claims = self.0.wallets.outstanding().into_iter().map(|outstanding| Claim {
                account: outstanding.account,
                bucket: outstanding.bucket,
                held: outstanding.reserved,
                settled: outstanding.pending,
            });
            (
                state.take_changed(),
                claims.collect::<Vec<_>>(),
                state.keys.claims(),
            )
        };
        Member::join(link, epoch, &self.0.settings.options, &fresh, &claims, &keys).await
    }

    /// Whether the claim that was written down is still good: too much may have ended since to keep it all.
    fn is_joining(&self) -> bool {
        matches!(self.0.state.lock().stage, Stage::Joining(_))
    }

    /// Counts in Redis from now on, and tells it what was kept; `false` when the claim is good no more.
    fn enter(&self, member: &Arc<Member>) -> bool {
        let kept = {
            let mut state = self.0.state.lock();
            match std::mem::replace(&mut state.stage, Stage::Ready(Arc::clone(member))) {
                Stage::Joining(kept) => kept,
                other => {
                    state.stage = other;
                    return false;
                }
            }
        };
        self.0.outage.end();
        metrics::gauge!(MEMBER).set(1.0);
        for told in kept {
            self.send(Arc::clone(member), told);
        }
        true
    }

    /// How long ago a node may have given its last sign of life for an epoch to wait for it. When the database has just
    /// come back, nobody could give one: whoever has not left in order gets the time to do so.
    fn waits_for(&self, options: &ClusterOptions) -> Duration {
        let is_settled = self
            .0
            .heard
            .lock()
            .is_ok_and(|heard| heard.is_some_and(|since| since.elapsed() >= options.member_timeout));
        if is_settled {
            options.member_timeout
        } else {
            options.forget_after
        }
    }

    /// Gives signs of life, announces this node's changes and hears of those of others, until the membership is
    /// lost.
    async fn stay(&self, platform: &Platform, member: &Arc<Member>) {
        tokio::select! {
            () = member.link().lost() => {}
            () = self.until_lost(member) => {}
            () = self.beat_on(member) => {}
            () = announce(platform, member) => {}
            () = hear(platform, member) => {}
        }
        self.lose(member);
    }

    async fn until_lost(&self, member: &Arc<Member>) {
        // A word of an earlier loss may still be waiting.
        while self.member().is_some_and(|current| current.id() == member.id()) {
            self.0.lost.notified().await;
        }
    }

    async fn beat_on(&self, member: &Arc<Member>) {
        let options = &self.0.settings.options;
        let mut ticks = tokio::time::interval(options.member_timeout / BEATS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match member.beat(options).await {
                Ok(beat) if beat.alive > 0 => {
                    self.0.outage.set_nodes(beat.alive);
                    if beat.given_up > 0 || beat.forgotten > 0 {
                        tracing::warn!(
                            given_up = beat.given_up,
                            forgotten = beat.forgotten,
                            "nodes are silent; what their calls held is free again"
                        );
                    }
                }
                // Others have given this one up.
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "Redis takes no sign of life");
                    return;
                }
            }
            if self.0.has_left.load(Ordering::Acquire) {
                return std::future::pending().await;
            }
        }
    }
}

/// Tells the others of each change that this process commits.
async fn announce(platform: &Platform, member: &Member) {
    let mut commits = platform.storage().commits();
    while commits.changed().await.is_ok() {
        if let Err(error) = member.link().announce_change().await {
            tracing::warn!(error = %chain(&error), "Redis announces no changes");
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Looks at the database whenever another node has changed something.
async fn hear(platform: &Platform, member: &Member) {
    let news = &platform.shared.news;
    if let Err(error) = member.link().hear_changes(|| news.notify_one()).await {
        tracing::warn!(error = %chain(&error), "Redis lets nobody listen; changes of others are seen by polling");
        std::future::pending::<()>().await;
    }
}

/// What every account has used today.
async fn days(storage: &Storage, day: BillingDay) -> Result<Vec<DayUse>, StorageError> {
    let usage = bills::usage_of_day(storage, day).await?;
    let days = usage.into_iter().map(|usage| DayUse {
        subject: Subject::Model {
            account: usage.account,
            model: usage.model,
        },
        requests: usage.calls,
        used: silica_billing::Need {
            tokens: usage.tokens,
            images: usage.images,
        },
    });
    Ok(days.collect())
}

/// What the applier tells.
impl Book {
    /// Notes that the database has taken calls of keys; returns the months whose sums the others should have.
    pub(crate) fn note_paid(&self, paid: impl Iterator<Item = (ApiKeyId, i32, Money)>) -> Vec<DueMonth> {
        let state = self.0.state.lock();
        for (key, month, amount) in paid {
            state.keys.apply(key, month, amount);
        }
        state.keys.due()
    }

    /// Takes over what the applier has brought into the database.
    pub(crate) fn applied(&self, buckets: Vec<Installed>, months: Vec<MonthSpent>) {
        let mut state = self.0.state.lock();
        for installed in &buckets {
            self.0.wallets.applied(&installed.bucket, installed.settled);
        }
        let changed: Vec<_> = buckets.iter().map(|installed| installed.bucket.clone()).collect();
        state.note_changed(&changed);
        if matches!(state.stage, Stage::Away) {
            // The months stay due: their sums in Redis are as old as the membership.
            return;
        }
        let report = |month: MonthSpent| MonthSpent {
            settled: state.keys.report(month.key, month.month),
            ..month
        };
        let months = months.into_iter().map(report).collect();
        self.tell(&mut state.stage, Told::Applied(buckets, months));
    }
}
