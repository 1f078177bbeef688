//! All counters of one subject.

use std::time::Duration;

use super::super::{LimitReached, LimitSet, Metric, Moment, Need, Scope, Standing, TakenPart};
use super::counter::Counter;
use super::day_count::DayCount;
use crate::BillingDay;

/// What one subject has used: a counter for each metric that was limited lately.
#[derive(Debug, Default)]
pub(super) struct Counters(Vec<(Metric, Counter)>);

impl Counters {
    /// Checks that each of the metrics that the scope limits has room.
    pub(super) fn check(
        &mut self,
        scope: &Scope,
        metrics: &[Metric],
        need: Need,
        at: Moment,
    ) -> Result<(), LimitReached> {
        for (metric, limit) in limited(metrics, &scope.limits) {
            let counter = self.at(metric, limit, at);
            if let Some(wait) = counter.wait(need.of(metric.counted()), at) {
                return Err(LimitReached {
                    metric,
                    limit,
                    retry_after: whole_seconds(wait),
                    subject: scope.subject.kind(),
                });
            }
        }
        Ok(())
    }

    /// Takes from each of the metrics, after [`Counters::check`] at the same moment, and notes the
    /// parts where that is wanted.
    pub(super) fn take(
        &mut self,
        scope: &Scope,
        metrics: &[Metric],
        need: Need,
        mut parts: Option<&mut Vec<TakenPart>>,
    ) {
        for (metric, limit) in limited(metrics, &scope.limits) {
            let Some(counter) = self.find(metric) else {
                continue;
            };
            let (slot, amount) = counter.take(need.of(metric.counted()));
            if let Some(parts) = &mut parts {
                parts.push(TakenPart {
                    subject: scope.subject.clone(),
                    metric,
                    limit,
                    amount,
                    slot,
                });
            }
        }
    }

    /// Replaces what was taken by what was used.
    pub(super) fn correct(&mut self, part: &TakenPart, used: u64, at: Moment) {
        let counter = match self.find(part.metric) {
            Some(counter) => {
                counter.refresh(None, at);
                counter
            }
            None => self.at(part.metric, part.limit, at),
        };
        counter.correct(part.slot, part.amount, used);
    }

    pub(super) fn standing(&mut self, limits: &LimitSet, at: Moment) -> Vec<Standing> {
        limited(Metric::ALL, limits)
            .map(|(metric, limit)| match self.find(metric) {
                Some(counter) => {
                    counter.refresh(Some(limit), at);
                    counter.standing(metric, at)
                }
                None => Standing {
                    metric,
                    limit,
                    remaining: limit,
                    reset: Duration::ZERO,
                },
            })
            .collect()
    }

    /// Restores the day windows; their limits come with the first call.
    pub(super) fn install_day(&mut self, day: BillingDay, requests: u64, used: Need) {
        let counts = [
            (Metric::Rpd, requests),
            (Metric::Tpd, used.tokens),
            (Metric::Ipd, used.images),
        ];
        for (metric, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            if self.find(metric).is_none() {
                let counter = DayCount::new(day, u64::MAX, Duration::ZERO);
                self.0.push((metric, Counter::Day(counter)));
            }
            if let Some(Counter::Day(counter)) = self.find(metric) {
                counter.restore(day, count);
            }
        }
    }

    /// Drops the counters that count nothing; `false` when none is left.
    pub(super) fn is_in_use(&mut self, at: Moment) -> bool {
        self.0.retain_mut(|(_, counter)| {
            counter.refresh(None, at);
            !counter.is_empty()
        });
        !self.0.is_empty()
    }

    /// The counter of a metric at the moment, made when there is none.
    fn at(&mut self, metric: Metric, limit: u64, at: Moment) -> &mut Counter {
        let known = self.0.iter().position(|(known, _)| *known == metric);
        let index = known.unwrap_or_else(|| {
            self.0.push((metric, Counter::new(metric, limit, at)));
            self.0.len() - 1
        });
        let counter = &mut self.0[index].1;
        counter.refresh(Some(limit), at);
        counter
    }

    fn find(&mut self, metric: Metric) -> Option<&mut Counter> {
        let found = self.0.iter_mut().find(|(known, _)| *known == metric);
        found.map(|(_, counter)| counter)
    }
}

/// The metrics that a set limits.
fn limited(metrics: &[Metric], limits: &LimitSet) -> impl Iterator<Item = (Metric, u64)> {
    metrics
        .iter()
        .filter_map(|metric| limits.get(*metric).map(|limit| (*metric, limit)))
}

/// What a client is told to wait: rounded up, at least a second.
fn whole_seconds(wait: Duration) -> Duration {
    let up = u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(wait.as_secs().saturating_add(up).max(1))
}
