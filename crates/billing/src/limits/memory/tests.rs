//! Cases of limits counted in memory.

mod days;
mod debt;
mod requests;
mod shared;
mod windows;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use silica_types::{AccountId, ApiKeyId, ModelName};
use uuid::Uuid;

use super::super::*;
use super::*;

/// Counting in memory never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn day(text: &str) -> BillingDay {
    text.parse().unwrap()
}

/// A moment of one day, so many seconds after the start and three hours before midnight.
fn second(seconds: f64) -> Moment {
    Moment {
        monotonic: Duration::from_secs_f64(seconds),
        day: day("2025-02-13"),
        until_midnight: Duration::from_hours(3),
    }
}

fn model(account: u128, name: &str) -> Subject {
    Subject::Model {
        account: AccountId::from_uuid(Uuid::from_u128(account)),
        model: ModelName::new(name).unwrap(),
    }
}

fn key(number: u128) -> Subject {
    Subject::Key(ApiKeyId::from_uuid(Uuid::from_u128(number)))
}

fn limits<const LENGTH: usize>(limits: [(Metric, u64); LENGTH]) -> LimitSet {
    let with = |set: LimitSet, (metric, limit)| set.with(metric, Some(limit));
    limits.into_iter().fold(LimitSet::NONE, with)
}

fn scope<const LENGTH: usize>(subject: Subject, metrics: [(Metric, u64); LENGTH]) -> Scope {
    Scope {
        subject,
        limits: limits(metrics),
    }
}

fn tokens(tokens: u64) -> Need {
    Need { tokens, images: 0 }
}

impl MemoryCounters {
    fn begin_at(&self, scopes: &[Scope], at: Moment) -> Result<(), LimitReached> {
        ready(self.begin(scopes, at))
    }

    fn take_at(&self, scope: &Scope, need: Need, at: Moment) -> Result<Taken, LimitReached> {
        ready(self.take(std::slice::from_ref(scope), need, at))
    }

    fn standing_at(&self, scope: &Scope, at: Moment) -> Vec<Standing> {
        ready(self.standing(scope, at))
    }

    fn remaining(&self, scope: &Scope, at: Moment) -> u64 {
        self.standing_at(scope, at)[0].remaining
    }
}
