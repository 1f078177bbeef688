//! What the ledger needs now and then: ended vouchers, old rows, and a look whether all sums agree.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silica_billing::{Need, Subject};
use silica_storage::{bills, buckets, ledger};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Meter;
use crate::error::chain;
use crate::{BillingDay, PlatformError};

/// How often ended vouchers are closed.
const EXPIRY_PERIOD: Duration = Duration::from_mins(1);
/// Verification reads more, so it comes once in so many rounds.
const ROUNDS_PER_AUDIT: u32 = 60;
/// A voucher is closed in the ledger only after this time, so that calls that took from it while it
/// was good can be settled. It pays no new call from its end on.
const VOUCHER_GRACE: SignedDuration = SignedDuration::from_hours(1);

/// How long the wall clock must have gone with the monotonic one before anything is ended by the
/// calendar. A machine that starts with a wrong clock has it set right within that time.
const CLOCK_TRUST: Duration = Duration::from_mins(10);
/// How far the two clocks may be apart between two looks: the slew of a time server, not a jump.
const CLOCK_DRIFT: SignedDuration = SignedDuration::from_secs(10);

/// Whether the wall clock can be believed.
#[derive(Debug, Default)]
struct ClockTrust {
    /// The look before, and since when the two clocks agree: wall time, monotonic time, since.
    last: Option<(Timestamp, Duration, Duration)>,
}

impl ClockTrust {
    /// Looks at both clocks; true when they have gone together for [`CLOCK_TRUST`].
    fn look(&mut self, wall: Timestamp, monotonic: Duration) -> bool {
        let since = match self.last {
            Some((last_wall, last_monotonic, since)) => {
                let passed = SignedDuration::try_from(monotonic.saturating_sub(last_monotonic));
                let drift = wall.duration_since(last_wall) - passed.unwrap_or(SignedDuration::MAX);
                if drift.abs() <= CLOCK_DRIFT {
                    since
                } else {
                    tracing::warn!(
                        drift_ms = drift.as_millis(),
                        "the clock has jumped; vouchers and old rows stay until it has been steady"
                    );
                    monotonic
                }
            }
            None => monotonic,
        };
        self.last = Some((wall, monotonic, since));
        monotonic.saturating_sub(since) >= CLOCK_TRUST
    }
}

impl Meter {
    /// Keeps the ledger in order until `shutdown`.
    pub async fn upkeep_loop(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(EXPIRY_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0_u32;
        let mut trust = ClockTrust::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let is_trusted = trust.look(self.0.clock.now(), self.0.started.elapsed());
            let work = async {
                // What ends by the calendar is gone for good.
                if is_trusted {
                    self.close_vouchers().await?;
                    self.prune().await?;
                }
                if round.is_multiple_of(ROUNDS_PER_AUDIT) {
                    self.audit().await?;
                }
                Ok::<(), PlatformError>(())
            };
            let outcome = tokio::select! {
                () = shutdown.cancelled() => return,
                outcome = work => outcome,
            };
            // The applier says that the database is down; this comes again by itself.
            if let Err(error) = outcome {
                tracing::warn!(error = %chain(&error), "the ledger's upkeep was not possible this time");
            }
            round = round.wrapping_add(1);
        }
    }

    /// Compares every balance with the sum of its rows. A difference is an error for a person: no
    /// balance is corrected by itself.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn audit(&self) -> Result<usize, PlatformError> {
        let differences = ledger::verify(&self.0.platform.shared.storage).await?;
        for difference in &differences {
            tracing::error!(difference = %difference, "the ledger does not add up: {difference}");
        }
        metrics::gauge!("silica_ledger_discrepancies")
            .set(f64::from(u32::try_from(differences.len()).unwrap_or(u32::MAX)));
        Ok(differences.len())
    }

    async fn close_vouchers(&self) -> Result<(), PlatformError> {
        let shared = &*self.0;
        let now = shared.clock.now();
        let day = shared.calendar.day(now);
        // A call that holds a voucher beyond the grace still gets it.
        let engaged = shared.platform.wallets().engaged_vouchers(now);
        let storage = &shared.platform.shared.storage;
        let closed = buckets::expire(storage, now - VOUCHER_GRACE, &engaged, now, day).await?;
        if !closed.is_empty() {
            shared.platform.show_buckets(&closed);
        }
        Ok(())
    }

    async fn prune(&self) -> Result<(), PlatformError> {
        let Some(days) = self.0.retention_days else {
            return Ok(());
        };
        let today = self.0.calendar.day(self.0.clock.now());
        let first_kept = today
            .date()
            .and_then(|date| {
                let kept = jiff::Span::new().try_days(i64::from(days)).ok()?;
                date.checked_sub(kept).ok()
            })
            .map(BillingDay::from_date);
        if let Some(first_kept) = first_kept {
            ledger::prune(&self.0.platform.shared.storage, first_kept).await?;
        }
        Ok(())
    }

    /// Restores what is counted by calendar day and month. Minute and hour windows begin anew.
    pub(super) async fn restore(&self) -> Result<(), PlatformError> {
        let shared = &*self.0;
        let storage = &shared.platform.shared.storage;
        let today = shared.calendar.day(shared.clock.now());
        for usage in bills::usage_of_day(storage, today).await? {
            let subject = Subject::Model {
                account: usage.account,
                model: usage.model,
            };
            let used = Need {
                tokens: usage.tokens,
                images: usage.images,
            };
            shared.counters.install_day(subject, today, usage.calls, used);
        }
        for (key, spent) in bills::spend_of_keys(storage, today.month()).await? {
            shared.caps.install(key, today.month(), spent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_trusted_after_it_was_steady_and_not_after_a_jump() {
        let mut trust = ClockTrust::default();
        let start: Timestamp = "2036-01-01T00:00:00Z".parse().unwrap();
        let minute = |count: u64| Duration::from_secs(60 * count);
        let mut wall = start;
        for round in 0..10 {
            assert!(!trust.look(wall, minute(round)), "round {round}");
            wall += SignedDuration::from_mins(1);
        }
        assert!(trust.look(wall, minute(10)));
        wall -= SignedDuration::from_hours(24 * 365 * 10);
        for round in 11..21 {
            assert!(!trust.look(wall, minute(round)), "round {round}");
            wall += SignedDuration::from_mins(1);
        }
        assert!(trust.look(wall, minute(21)));
        assert!(!trust.look(wall + SignedDuration::from_hours(24), minute(22)));
    }
}
