//! From the journal to the database: batches of settled calls, at most a second behind.

use std::time::Duration;

use silica_billing::UsageEvent;
use silica_cluster::{Installed, MonthSpent};
use silica_journal::{Entry, JournalError};
use silica_storage::{Applied, StorageError, bills, ledger};
use silica_types::Money;
use tokio_util::sync::CancellationToken;

use super::Meter;
use crate::PlatformError;
use crate::cluster::Book;
use crate::error::chain;

/// The most events of one transaction: large enough to share its costs, small enough that
/// operators' changes, which wait for it, do not notice.
const BATCH: usize = 500;
/// How long committed events gather before they are applied: fewer transactions, and still well
/// within the second after which a bill shows a call.
const GATHER: Duration = Duration::from_millis(200);
/// A database that does not answer a batch by then counts as down.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pauses after failures, growing from the first to the last.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// How long the last events may take at the end of the process; what is left is applied at the
/// next start.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the database does not take settled calls")]
    Storage(#[from] StorageError),
    #[error("the database did not take settled calls within {} seconds", PATIENCE.as_secs())]
    TimedOut,
}

impl Meter {
    /// Applies what the journal holds until `shutdown`, then once more for the last calls.
    ///
    /// While the database is down, calls go on and their events wait; an outage is logged once when
    /// it begins and once when it ends.
    pub async fn apply_loop(self, shutdown: CancellationToken) {
        let mut failures = 0_usize;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.occasion(failures) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(GATHER) => {}
            }
            failures = report(failures, self.apply_all().await);
        }
        if !matches!(
            tokio::time::timeout(LAST_CALLS, self.apply_all()).await,
            Ok(Ok(()))
        ) {
            tracing::warn!(
                events = self.0.journal.backlog(),
                "settled calls are left in the journal; they are applied at the next start"
            );
        }
    }

    /// Waits for news of the journal, or after failures for the time of the next try.
    async fn occasion(&self, failures: usize) {
        match failures.checked_sub(1) {
            None => self.0.journal.committed().await,
            Some(earlier) => tokio::time::sleep(PAUSES[earlier.min(PAUSES.len() - 1)]).await,
        }
    }

    /// Applies everything at the start, before balances are read.
    pub(super) async fn replay(&self) -> Result<(), PlatformError> {
        let backlog = self.0.journal.backlog();
        if backlog > 0 {
            tracing::info!(
                events = backlog,
                "applying settled calls that the last run left in the journal"
            );
        }
        self.apply_all().await.map_err(PlatformError::journal)
    }

    /// Applies everything that is committed by now.
    pub(crate) async fn apply_now(&self) -> Result<(), PlatformError> {
        self.apply_all().await.map_err(PlatformError::journal)
    }

    async fn apply_all(&self) -> Result<(), ApplyError> {
        let _one_at_a_time = self.0.applying.lock().await;
        let journal = &self.0.journal;
        loop {
            let entries = journal.unapplied(BATCH).await?;
            let Some(last) = entries.last().map(|entry| entry.sequence) else {
                return Ok(());
            };
            let is_last = entries.len() < BATCH;
            let events: Vec<UsageEvent> = entries.into_iter().map(|Entry { event, .. }| event).collect();
            let applying = ledger::apply(&self.0.platform.shared.storage, &events);
            let applied = tokio::time::timeout(PATIENCE, applying)
                .await
                .map_err(|_| ApplyError::TimedOut)??;
            self.show(&events, &applied).await;
            journal.forget(last);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Lets wallets and usage levels follow what the database has booked.
    async fn show(&self, events: &[UsageEvent], applied: &Applied) {
        let platform = &self.0.platform;
        if let Some(book) = platform.book() {
            self.tell(book, events, applied).await;
        } else {
            for change in &applied.buckets {
                platform.wallets().applied(&change.bucket, change.settled);
            }
        }
        for (account, spent) in &applied.spent {
            platform.shared.keys.apply_spending(*account, *spent);
        }
    }

    /// The same for all nodes, with what keys with a cap have spent.
    async fn tell(&self, book: &Book, events: &[UsageEvent], applied: &Applied) {
        let paid = events.iter().map(|event| {
            let paid = event.parts.iter().map(|part| part.amount).sum();
            (event.key, event.day.month(), paid)
        });
        let storage = self.0.platform.storage();
        let mut months = Vec::new();
        for due in book.note_paid(paid) {
            // What cannot be read now stays due.
            if let Ok(spent) = bills::spend_of_key(storage, due.account, due.key, due.month).await {
                months.push(MonthSpent {
                    key: due.key,
                    month: due.month,
                    spent,
                    settled: Money::ZERO,
                });
            }
        }
        let installed = applied.buckets.iter().map(|change| Installed {
            bucket: change.bucket.clone(),
            settled: change.settled,
        });
        book.applied(installed.collect(), months);
    }
}

/// Logs the beginning and the end of an outage, and nothing in between.
fn report(failures: usize, outcome: Result<(), ApplyError>) -> usize {
    match outcome {
        Ok(()) if failures > 0 => {
            tracing::info!("the database takes settled calls again");
            0
        }
        Ok(()) => 0,
        Err(error) => {
            if failures == 0 {
                tracing::error!(
                    error = %chain(&error),
                    "settled calls wait in the journal; calls go on"
                );
            }
            failures + 1
        }
    }
}
