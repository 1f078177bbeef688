//! The end of one call.

use silica_billing::{BucketPart, Metric, Moment, Subject, TakenPart};
use silica_types::{AccountId, ApiKeyId, Money};

use crate::script::Script;
use crate::{ClusterError, Member, names};

/// What a call gives back and what it has paid.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Who pays.
    pub account: AccountId,
    /// The key that called.
    pub key: ApiKeyId,
    /// What the key's cap held of its month; `None` when the key has none.
    pub cap_held: Option<Money>,
    /// What the key has paid.
    pub cap_paid: Money,
    /// What was held of the buckets.
    pub held: Vec<BucketPart>,
    /// What they pay.
    pub paid: Vec<BucketPart>,
    /// What was taken of limits, and what was used instead.
    pub corrections: Vec<Correction>,
    /// The day of the settlement, and the time until it ends.
    pub at: Moment,
}

/// A part of a limit, and what was used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The part as it was taken.
    pub taken: TakenPart,
    /// What was used.
    pub used: u64,
}

impl Member {
    /// Ends a call: once for each one that was admitted, by this or an earlier member of this process. `false`
    /// when the member is not in the epoch any more.
    ///
    /// # Errors
    /// [`ClusterError`]: whether it was carried out is unknown then.
    pub async fn finish(&self, finish: &Finish) -> Result<bool, ClusterError> {
        let account = names::account(finish.account);
        let key = names::key(finish.key);
        let mut keys = vec![
            self.opening(),
            self.named("members"),
            self.held(),
            self.settled(),
            self.named(&format!("w:{account}")),
            self.named(&format!("k:{key}")),
        ];
        let mut arguments = self.head(finish.at);
        arguments.extend([account, key, finish.at.day.month().to_string()]);
        let held = finish.cap_held.map(|held| held.nano().to_string());
        arguments.push(held.unwrap_or_else(|| "-".to_owned()));
        arguments.push(finish.cap_paid.nano().to_string());
        for parts in [&finish.held, &finish.paid] {
            arguments.push(parts.len().to_string());
            for part in parts {
                arguments.push(names::simple(part.bucket.as_uuid()));
                arguments.push(part.amount.nano().to_string());
            }
        }
        let mut subjects: Vec<&Subject> = Vec::new();
        for Correction { taken, used } in &finish.corrections {
            let known = subjects.iter().position(|subject| **subject == taken.subject);
            let place = known.unwrap_or_else(|| {
                subjects.push(&taken.subject);
                subjects.len() - 1
            });
            let metric = Metric::ALL.iter().position(|metric| *metric == taken.metric);
            let numbers = [
                place as u64 + 1,
                metric.unwrap_or_default() as u64 + 1,
                taken.limit,
                taken.slot,
                taken.amount,
                *used,
            ];
            arguments.extend(numbers.map(|number| number.to_string()));
        }
        keys.extend(subjects.into_iter().map(|subject| self.subject(subject)));
        let answer = self.link().call(Script::Finish, keys, arguments).await?;
        Ok(answer.as_i64() == Some(1))
    }
}
