//! A process that has joined an epoch.

use std::collections::{HashMap, HashSet};
use std::fmt;

use fred::interfaces::HashesInterface as _;
use futures::FutureExt as _;
use rand::RngExt as _;
use silica_billing::{Bucket, Moment, Need, Subject};
use silica_types::{AccountId, ApiKeyId, BucketId, Money};
use uuid::Uuid;

use crate::epoch::Epoch;
use crate::script::Script;
use crate::{ClusterError, ClusterOptions, Link, names};

/// Rows that one script takes over; others wait for it meanwhile.
const ROWS: usize = 500;

/// One process in one epoch.
pub struct Member {
    link: Link,
    epoch: Epoch,
    id: Uuid,
    node: Uuid,
    /// What stands for the server's own time; tests give another.
    now: String,
}

/// What a process holds and has settled of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose bucket.
    pub account: AccountId,
    /// The bucket.
    pub bucket: BucketId,
    /// Held by running calls.
    pub held: Money,
    /// Settled, and not in the database yet.
    pub settled: Money,
}

/// The same of a key with a cap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClaim {
    /// The key.
    pub key: ApiKeyId,
    /// The month (`yyyymm`) for what is settled, `None` for what is held.
    pub month: Option<i32>,
    /// How much.
    pub amount: Money,
}

/// A bucket as the database has it, and what of it has just come there from this node's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The bucket.
    pub bucket: Bucket,
    /// What had been settled before and is applied now.
    pub settled: Money,
}

/// What a key has spent in a month in the database, and what of it has just come there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthSpent {
    /// The key.
    pub key: ApiKeyId,
    /// The month, `yyyymm`.
    pub month: i32,
    /// What the database has.
    pub spent: Money,
    /// What had been settled before and is applied now.
    pub settled: Money,
}

/// What a subject has used on a day, in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUse {
    /// Who.
    pub subject: Subject,
    /// Calls.
    pub requests: u64,
    /// Tokens and images.
    pub used: Need,
}

/// What a sign of life has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Processes that are alive; zero when this one is not among them any more.
    pub alive: u64,
    /// Processes that were given up just now.
    pub given_up: u64,
    /// Nodes that were forgotten just now.
    pub forgotten: u64,
}

impl Member {
    /// Joins an epoch. What earlier processes of this node held is free again; what this one claims is held
    /// instead. `fresh` are buckets that have changed since balances were last installed.
    ///
    /// # Errors
    /// [`ClusterError`]; another try joins as another member.
    pub async fn join(
        link: &Link,
        epoch: &Epoch,
        options: &ClusterOptions,
        fresh: &[Bucket],
        claims: &[Claim],
        keys: &[KeyClaim],
    ) -> Result<Self, ClusterError> {
        let member = Self {
            link: link.clone(),
            epoch: epoch.clone(),
            id: Uuid::from_u128(rand::rng().random()),
            node: options.node,
            now: "-".to_owned(),
        };
        let mut arguments = vec![
            epoch.prefix.clone(),
            names::simple(member.id),
            names::simple(member.node),
            fresh.len().to_string(),
        ];
        for bucket in fresh {
            push_bucket(&mut arguments, bucket);
        }
        arguments.push(claims.len().to_string());
        for claim in claims {
            arguments.push(names::account(claim.account));
            arguments.push(names::simple(claim.bucket.as_uuid()));
            arguments.push(claim.held.nano().to_string());
            arguments.push(claim.settled.nano().to_string());
        }
        for claim in keys {
            arguments.push(names::key(claim.key));
            let month = claim.month.map(|month| month.to_string());
            arguments.push(month.unwrap_or_else(|| "-".to_owned()));
            arguments.push(claim.amount.nano().to_string());
        }
        link.call(Script::Join, Vec::new(), arguments).await?;
        Ok(member)
    }

    /// Takes over balances as the database has them. Older ones than those that are known change nothing.
    ///
    /// # Errors
    /// [`ClusterError`]; it may be done again.
    pub async fn install(link: &Link, epoch: &Epoch, buckets: &[Bucket]) -> Result<(), ClusterError> {
        for buckets in buckets.chunks(ROWS) {
            let mut arguments = vec![epoch.prefix.clone()];
            for bucket in buckets {
                push_bucket(&mut arguments, bucket);
            }
            link.call(Script::Install, Vec::new(), arguments).await?;
        }
        Ok(())
    }

    /// Restores what subjects have used on the day of `at`.
    ///
    /// # Errors
    /// [`ClusterError`]; it may be done again.
    pub async fn install_days(&self, days: &[DayUse], at: Moment) -> Result<(), ClusterError> {
        for days in days.chunks(ROWS) {
            let mut arguments = vec![self.epoch.prefix.clone(), day(at), self.now.clone()];
            for day in days {
                arguments.push(names::subject(&day.subject));
                let counts = [day.requests, day.used.tokens, day.used.images];
                arguments.extend(counts.map(|count| count.to_string()));
            }
            self.link.call(Script::Days, Vec::new(), arguments).await?;
        }
        Ok(())
    }

    /// Takes over what a key has spent in a month in the database.
    ///
    /// # Errors
    /// [`ClusterError`]; it may be done again.
    pub async fn install_month(&self, key: ApiKeyId, month: i32, spent: Money) -> Result<(), ClusterError> {
        let arguments = vec![
            self.epoch.prefix.clone(),
            names::key(key),
            month.to_string(),
            spent.nano().to_string(),
        ];
        self.link.call(Script::Spending, Vec::new(), arguments).await?;
        Ok(())
    }

    /// Notes what the applier has brought into the database: it is settled no more, and in the balance instead.
    /// `false` when the member is not in the epoch any more.
    ///
    /// # Errors
    /// [`ClusterError`]: whether it was carried out is unknown then.
    pub async fn applied(&self, buckets: &[Installed], months: &[MonthSpent]) -> Result<bool, ClusterError> {
        let keys = vec![self.opening(), self.named("members"), self.settled()];
        let mut arguments = vec![
            self.epoch.value.clone(),
            names::simple(self.id),
            self.epoch.prefix.clone(),
            buckets.len().to_string(),
        ];
        for Installed { bucket, settled } in buckets {
            push_bucket(&mut arguments, bucket);
            arguments.push(settled.nano().to_string());
        }
        for month in months {
            arguments.push(names::key(month.key));
            arguments.push(month.month.to_string());
            arguments.push(month.spent.nano().to_string());
            arguments.push(month.settled.nano().to_string());
        }
        let answer = self.link.call(Script::Applied, keys, arguments).await?;
        Ok(answer.as_i64() == Some(1))
    }

    /// Gives a sign of life, and gives up those that have given none.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn beat(&self, options: &ClusterOptions) -> Result<Beat, ClusterError> {
        let arguments = vec![
            self.epoch.prefix.clone(),
            names::simple(self.id),
            names::simple(self.node),
            options.member_timeout.as_millis().to_string(),
            options.forget_after.as_millis().to_string(),
        ];
        let answer = self.link.call(Script::Beat, Vec::new(), arguments).await?;
        let numbers: Vec<u64> = answer
            .into_array()
            .iter()
            .filter_map(fred::types::Value::as_u64)
            .collect();
        match numbers[..] {
            [alive, given_up, forgotten] => Ok(Beat {
                alive,
                given_up,
                forgotten,
            }),
            _ => Err(ClusterError::Answer {
                action: Script::Beat.action(),
            }),
        }
    }

    /// The nodes that have a process in the epoch.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn nodes(&self) -> Result<HashSet<Uuid>, ClusterError> {
        let nodes: Vec<String> = self
            .link
            .client()
            .hvals(self.named("nodes"))
            .boxed()
            .await
            .map_err(ClusterError::command("a list of nodes"))?;
        Ok(nodes.iter().filter_map(|node| node.parse().ok()).collect())
    }

    /// What is left in some buckets of an account when all that was settled anywhere is deducted. A bucket that
    /// nobody has told of is absent.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn left(
        &self,
        account: AccountId,
        buckets: &[BucketId],
    ) -> Result<HashMap<BucketId, Money>, ClusterError> {
        if buckets.is_empty() {
            return Ok(HashMap::new());
        }
        let fields = |bucket: &BucketId| {
            let bucket = names::simple(bucket.as_uuid());
            [format!("{bucket}:b"), format!("{bucket}:p")]
        };
        let fields: Vec<String> = buckets.iter().flat_map(fields).collect();
        let wallet = self.named(&format!("w:{}", names::account(account)));
        let values: Vec<Option<i64>> = self
            .link
            .client()
            .hmget(wallet, fields)
            .boxed()
            .await
            .map_err(ClusterError::command("a look at balances"))?;
        let pairs = buckets.iter().zip(values.chunks_exact(2));
        let left = pairs.filter_map(|(bucket, pair)| {
            let left = pair[0]?.saturating_sub(pair[1].unwrap_or_default()).max(0);
            Some((*bucket, Money::from_nano(left)))
        });
        Ok(left.collect())
    }

    /// Leaves: nothing of this process is held any more.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn leave(&self) -> Result<(), ClusterError> {
        let arguments = vec![
            self.epoch.prefix.clone(),
            names::simple(self.id),
            names::simple(self.node),
        ];
        self.link
            .call(Script::Leave, Vec::new(), arguments)
            .await
            .map(drop)
    }

    /// Its id; every joining has another.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The epoch that it is in.
    pub const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Its connection.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Counts time by a clock of the test's: milliseconds.
    #[doc(hidden)]
    #[must_use]
    pub fn at_time(mut self, now: u64) -> Self {
        self.now = now.to_string();
        self
    }

    pub(crate) fn opening(&self) -> String {
        self.link.names().opening()
    }

    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.epoch.prefix)
    }

    /// The register of what this process holds.
    pub(crate) fn held(&self) -> String {
        self.named(&format!("r:{}", names::simple(self.id)))
    }

    /// The register of what this node has settled.
    pub(crate) fn settled(&self) -> String {
        self.named(&format!("p:{}", names::simple(self.node)))
    }

    pub(crate) fn subject(&self, subject: &Subject) -> String {
        self.named(&format!("l:{}", names::subject(subject)))
    }

    /// What the arguments of calls begin with.
    pub(crate) fn head(&self, at: Moment) -> Vec<String> {
        let mut head = Vec::with_capacity(48);
        head.extend([
            self.epoch.value.clone(),
            names::simple(self.id),
            self.now.clone(),
            day(at),
            at.until_midnight.as_millis().to_string(),
        ]);
        head
    }
}

/// The day as a number that grows by one a day.
fn day(at: Moment) -> String {
    at.day.ordinal().to_string()
}

fn push_bucket(arguments: &mut Vec<String>, bucket: &Bucket) {
    arguments.push(names::account(bucket.account));
    arguments.push(names::simple(bucket.id.as_uuid()));
    arguments.push(bucket.balance.nano().to_string());
    arguments.push(bucket.version.to_string());
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Member")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
