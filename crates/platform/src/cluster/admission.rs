//! The way of one admission to Redis and back.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use silica_billing::{BucketPart, Hold, LimitReached, Moment, Need, Payer, Scope};
use silica_cluster::{Epoch, Grant, Member, Order, Unknown, Verdict};
use silica_storage::{Storage, StorageError, bills, buckets};
use silica_types::{AccountId, ApiKeyId, BucketId, Money};

use super::Book;
use super::state::Stage;
use crate::error::chain;

/// How often an admission is asked for anew: when a claim came between, or Redis had to be told something.
const TRIES: usize = 4;

/// What a call asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) account: AccountId,
    pub(crate) key: ApiKeyId,
    pub(crate) scopes: &'a [Scope],
    pub(crate) need: Need,
    pub(crate) amount: Money,
    pub(crate) cap: Option<Money>,
    pub(crate) payer: Payer,
    pub(crate) now: Timestamp,
    pub(crate) at: Moment,
}

/// What it gets.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may run.
    Granted(Granted),
    /// A limit is reached.
    Limit(LimitReached),
    /// The key has spent so much of its month.
    Cap(Money),
    /// So much is free.
    Balance(Money),
    /// There is no Redis to say.
    Away,
}

/// What a call has got, and where.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) hold: Hold,
    pub(crate) grant: Grant,
    /// The windows that `grant` was taken from are those of this epoch.
    pub(crate) epoch: Epoch,
}

impl Book {
    /// Asks for a call. What it gets stands in this node's own books, too.
    pub(crate) async fn admit(&self, storage: &Storage, asked: &Asked<'_>) -> Admission {
        for _ in 0..TRIES {
            let Some(member) = self.member() else {
                return Admission::Away;
            };
            let payers = self.0.wallets.payers(asked.account, asked.payer, asked.now);
            let ids: Vec<_> = payers.iter().map(|(id, _)| *id).collect();
            let verdict = member.admit(&order(asked, &ids)).await;
            match verdict {
                Ok(Verdict::Granted(grant)) => {
                    let parts = grant.parts.iter().filter_map(|(index, amount)| {
                        let (bucket, kind) = *payers.get(*index)?;
                        let amount = *amount;
                        Some(BucketPart { bucket, kind, amount })
                    });
                    if let Some(granted) = self.write_down(asked, &member, parts.collect(), grant) {
                        return Admission::Granted(granted);
                    }
                }
                Ok(Verdict::Limit(limit)) => return Admission::Limit(limit),
                Ok(Verdict::Cap(spent)) => return Admission::Cap(spent),
                Ok(Verdict::Balance(available)) => return Admission::Balance(available),
                Ok(Verdict::Unknown(unknown)) => {
                    if let Err(error) = self.explain(storage, &member, asked, unknown).await {
                        tracing::warn!(error = %chain(&error), "the database does not say what Redis has to know");
                        return Admission::Away;
                    }
                }
                Ok(Verdict::Closed) => self.lose(&member),
                Err(error) => self.failed(&member, &error),
            }
        }
        Admission::Away
    }

    /// Counts a request that asks for nothing else. `None` when there is no Redis to say.
    pub(crate) async fn count(&self, asked: &Asked<'_>) -> Option<Result<(), LimitReached>> {
        let member = self.member()?;
        match member.count(&order(asked, &[])).await {
            Ok(Verdict::Limit(limit)) => Some(Err(limit)),
            Ok(Verdict::Granted(_)) => Some(Ok(())),
            Ok(_) => {
                self.lose(&member);
                None
            }
            Err(error) => {
                self.failed(&member, &error);
                None
            }
        }
    }

    /// What all nodes together have left in an account's buckets; `None` when there is no Redis to say.
    pub(crate) async fn left(&self, account: AccountId, now: Timestamp) -> Option<HashMap<BucketId, Money>> {
        let member = self.member()?;
        let payers = self.0.wallets.payers(account, Payer::Any, now);
        let ids: Vec<_> = payers.into_iter().map(|(id, _)| id).collect();
        match member.left(account, &ids).await {
            Ok(left) => Some(left),
            Err(error) => {
                self.failed(&member, &error);
                None
            }
        }
    }

    /// Writes a grant into this node's own books; `None` when another claim was written down since it was asked
    /// for, which does not have it: Redis has given it back then.
    fn write_down(
        &self,
        asked: &Asked<'_>,
        member: &Arc<Member>,
        parts: Vec<BucketPart>,
        grant: Grant,
    ) -> Option<Granted> {
        let state = self.0.state.lock();
        let Stage::Ready(current) = &state.stage else {
            return None;
        };
        if current.id() != member.id() {
            return None;
        }
        let hold = self.0.wallets.hold_granted(asked.account, parts, asked.payer);
        if asked.cap.is_some() {
            state.keys.hold(asked.key, asked.amount);
        }
        Some(Granted {
            hold,
            grant,
            epoch: member.epoch().clone(),
        })
    }

    /// Tells Redis what it has not heard of. The database is asked, which is rare: for a bucket that has just come
    /// and a key that has just got its cap.
    async fn explain(
        &self,
        storage: &Storage,
        member: &Member,
        asked: &Asked<'_>,
        unknown: Unknown,
    ) -> Result<(), StorageError> {
        let told = match unknown {
            Unknown::Bucket => {
                let buckets = buckets::of_account(storage, asked.account).await?;
                Member::install(member.link(), member.epoch(), &buckets).await
            }
            Unknown::Month => {
                let month = asked.at.day.month();
                let spent = bills::spend_of_key(storage, asked.account, asked.key, month).await?;
                member.install_month(asked.key, month, spent).await
            }
        };
        if let Err(error) = told {
            self.failed(member, &error);
        }
        Ok(())
    }
}

fn order<'a>(asked: &Asked<'a>, buckets: &'a [BucketId]) -> Order<'a> {
    Order {
        account: asked.account,
        key: asked.key,
        buckets,
        amount: asked.amount,
        cap: asked.cap,
        scopes: asked.scopes,
        need: asked.need,
        at: asked.at,
    }
}
