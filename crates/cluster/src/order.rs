//! The admission of one call.

use std::time::Duration;

use fred::types::Value;
use silica_billing::{LimitReached, Metric, Moment, Need, Scope, Standing, TakenPart};
use silica_types::{AccountId, ApiKeyId, BucketId, Money};

use crate::script::Script;
use crate::{ClusterError, Member, names};

/// What one call may cost at most, so that Lua counts it exactly: 2^53 nano-CNY, nine million CNY.
const MOST: i64 = 1 << 53;
/// What stands for no limit, no cap, and the time of the server.
const NONE: &str = "-";

/// What a call asks for.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Who pays.
    pub account: AccountId,
    /// The key that calls.
    pub key: ApiKeyId,
    /// The buckets that may pay, in the order of spending.
    pub buckets: &'a [BucketId],
    /// What it may cost at most.
    pub amount: Money,
    /// What the key may spend in a month.
    pub cap: Option<Money>,
    /// Whose limits count it.
    pub scopes: &'a [Scope],
    /// What it takes from limits of tokens and images.
    pub need: Need,
    /// The day, and the time until it ends.
    pub at: Moment,
}

/// What Redis says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The call may run.
    Granted(Grant),
    /// A limit refuses it.
    Limit(LimitReached),
    /// The key has spent so much of its month.
    Cap(Money),
    /// So much is free.
    Balance(Money),
    /// Redis has to be told something first.
    Unknown(Unknown),
    /// The epoch is over, or the member is not in it any more.
    Closed,
}

/// What Redis has not heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// One of the buckets.
    Bucket,
    /// What the key has spent in the month.
    Month,
}

/// What a call has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// What is held of which of the buckets.
    pub parts: Vec<(usize, Money)>,
    /// What is taken of limits of tokens and images.
    pub taken: Vec<TakenPart>,
    /// How the limits of the first scope stand. Their resets are the latest possible ones.
    pub standings: Vec<Standing>,
}

impl Member {
    /// Counts the request, then takes its worst case from the limits, the key's month and the wallet, all
    /// or nothing, in one round trip. A request that is refused after it was counted stays counted.
    ///
    /// # Errors
    /// [`ClusterError`]: whether anything was taken is unknown then.
    pub async fn admit(&self, order: &Order<'_>) -> Result<Verdict, ClusterError> {
        if order.amount.nano() >= MOST {
            return Ok(Verdict::Balance(Money::ZERO));
        }
        self.ask(order, false).await
    }

    /// Counts a request that takes nothing else.
    ///
    /// # Errors
    /// As [`Member::admit`].
    pub async fn count(&self, order: &Order<'_>) -> Result<Verdict, ClusterError> {
        self.ask(order, true).await
    }

    async fn ask(&self, order: &Order<'_>, counts_only: bool) -> Result<Verdict, ClusterError> {
        let account = names::account(order.account);
        let key = names::key(order.key);
        let mut keys = vec![
            self.opening(),
            self.named("members"),
            self.held(),
            self.named(&format!("w:{account}")),
            self.named(&format!("k:{key}")),
        ];
        keys.extend(order.scopes.iter().map(|scope| self.subject(&scope.subject)));
        let mut arguments = self.head(order.at);
        arguments.extend([account, key, order.at.day.month().to_string()]);
        arguments.push(
            order
                .cap
                .map_or_else(|| NONE.to_owned(), |cap| cap.nano().to_string()),
        );
        arguments.push(order.amount.nano().max(0).to_string());
        arguments.push(order.need.tokens.to_string());
        arguments.push(order.need.images.to_string());
        arguments.push(u8::from(counts_only).to_string());
        arguments.push(order.buckets.len().to_string());
        arguments.extend(order.buckets.iter().map(|bucket| names::simple(bucket.as_uuid())));
        for scope in order.scopes {
            arguments.extend(Metric::ALL.iter().map(|metric| {
                let limit = scope.limits.get(*metric);
                limit.map_or_else(|| NONE.to_owned(), |limit| limit.to_string())
            }));
        }
        let answer = self.link().call(Script::Admit, keys, arguments).await?;
        read(answer, order).ok_or(ClusterError::Answer {
            action: Script::Admit.action(),
        })
    }
}

fn read(answer: Value, order: &Order<'_>) -> Option<Verdict> {
    let mut values = Values(answer.into_array().into_iter());
    Some(match &*values.text()? {
        "ok" => Verdict::Granted(values.grant(order)?),
        "counted" => Verdict::Granted(Grant::default()),
        "limit" => {
            let scope = order.scopes.get(values.index()?)?;
            let metric = *Metric::ALL.get(values.index()?)?;
            Verdict::Limit(LimitReached {
                metric,
                limit: values.number()?,
                retry_after: whole_seconds(values.number()?),
                subject: scope.subject.kind(),
            })
        }
        "cap" => Verdict::Cap(values.money()?),
        "balance" => Verdict::Balance(values.money()?),
        "unknown" => Verdict::Unknown(match &*values.text()? {
            "bucket" => Unknown::Bucket,
            "key" => Unknown::Month,
            _ => return None,
        }),
        "closed" => Verdict::Closed,
        _ => return None,
    })
}

/// The values of an answer, one after the other.
struct Values(std::vec::IntoIter<Value>);

impl Values {
    fn text(&mut self) -> Option<String> {
        self.0.next()?.into_string()
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        match self.0.next()? {
            Value::Integer(number) => number.to_string().parse().ok(),
            other => other.into_string()?.parse().ok(),
        }
    }

    /// Lua counts from one.
    fn index(&mut self) -> Option<usize> {
        self.number::<usize>()?.checked_sub(1)
    }

    fn money(&mut self) -> Option<Money> {
        self.number().map(Money::from_nano)
    }

    fn grant(&mut self, order: &Order<'_>) -> Option<Grant> {
        let mut grant = Grant::default();
        for _ in 0..self.number::<usize>()? {
            grant.parts.push((self.index()?, self.money()?));
        }
        for _ in 0..self.number::<usize>()? {
            let scope = order.scopes.get(self.index()?)?;
            let metric = *Metric::ALL.get(self.index()?)?;
            grant.taken.push(TakenPart {
                subject: scope.subject.clone(),
                metric,
                limit: scope.limits.get(metric)?,
                amount: self.number()?,
                slot: self.number()?,
            });
        }
        for _ in 0..self.number::<usize>()? {
            grant.standings.push(Standing {
                metric: *Metric::ALL.get(self.index()?)?,
                limit: self.number()?,
                remaining: self.number()?,
                reset: Duration::from_millis(self.number()?),
            });
        }
        Some(grant)
    }
}

/// What a client is told to wait: rounded up, at least a second.
fn whole_seconds(milliseconds: u64) -> Duration {
    Duration::from_secs(milliseconds.div_ceil(1_000).max(1))
}
