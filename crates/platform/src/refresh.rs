//! Following the changes that other processes make to the same database.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use silica_storage::{
    KeyStatus, Snapshot, Source, StorageError, UnreadableRow, accounts, api_keys, buckets, catalogue, prices,
    revisions,
};
use silica_types::ModelName;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::{Catalogue, CatalogueModel, Platform, PlatformError};

/// Four looks a second keep every change well within the promised second.
const PERIOD: Duration = Duration::from_millis(250);
/// A database that hangs counts as down after this long, so that the outage is logged.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the loop knows about the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Up,
    Down,
}

/// What to do about an account or a key that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Fail: a server does not start with keys that it does not understand.
    Fail,
    /// Log it, take it for disabled and go on: one bad row must not keep others from being revoked,
    /// and the change that cannot be read may be a revocation itself.
    Disable,
}

impl Unreadable {
    /// Returns the change and the id of what is to be disabled.
    fn judge<I>(self, row: UnreadableRow<I>) -> Result<(i64, I), StorageError> {
        match self {
            Self::Fail => Err(row.source),
            Self::Disable => {
                tracing::error!(
                    error = %chain(&row.source),
                    "a changed row cannot be read; what it stands for is disabled until it can"
                );
                Ok((row.revision, row.id))
            }
        }
    }
}

impl Platform {
    /// Polls the change counter until `shutdown`, and reads what others changed. Lets usage levels
    /// follow the calendar.
    ///
    /// While the database is down the last state stays in force; an outage is logged once when it
    /// begins and once when it ends.
    pub async fn refresh_loop(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = Health::Up;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = self.shared.news.notified() => {}
            }
            let outcome = tokio::select! {
                () = shutdown.cancelled() => return,
                outcome = tokio::time::timeout(PATIENCE, self.refresh(Unreadable::Disable)) => outcome,
            };
            health = report(health, outcome);
        }
    }

    /// Reads what others changed because of a key that is not in memory: it may be one that another
    /// process made a moment ago. Waits half a second at most.
    ///
    /// All keys are in memory, so the change counter answers for any number of unknown ones.
    pub(crate) async fn look_again(&self) {
        let look = async || self.refresh(Unreadable::Disable).await;
        // That the database is down is for the loop to log.
        self.shared.lookups.look(look).await;
    }

    /// Takes over the buckets that operators changed: credits and closed vouchers. What calls of
    /// this process take from them is known already.
    async fn refresh_wallets(
        &self,
        snapshot: &Snapshot,
        seen: i64,
        unreadable: Unreadable,
    ) -> Result<(), StorageError> {
        if seen == 0 {
            // Without the vouchers that were closed long ago, which need no place in memory.
            self.show_buckets(&buckets::all(snapshot).await?);
            return Ok(());
        }
        let mut news = Vec::new();
        for change in buckets::changed_since(snapshot, seen).await? {
            match (change, unreadable) {
                (Ok((_, bucket)), _) => news.push(bucket),
                (Err(row), Unreadable::Fail) => return Err(row.source),
                // Nothing is spent that its last known state does not have.
                (Err(row), Unreadable::Disable) => tracing::error!(
                    error = %chain(&row.source),
                    "a changed bucket cannot be read; it stays as it was last known"
                ),
            }
        }
        if !news.is_empty() {
            self.show_buckets(&news);
        }
        Ok(())
    }

    /// Reads the rows that changed since the last time.
    pub(crate) async fn refresh(&self, unreadable: Unreadable) -> Result<(), PlatformError> {
        // Needs no database: levels follow the calendar while it is down, too.
        self.turn_month();
        let shared = &self.shared;
        let seen = shared.seen.load(Ordering::Acquire);
        let current = revisions::current(&shared.storage).await?;
        // A master key that is back opens what it could not before, with no change in the database.
        let opens_more = shared.vault.may_open_more();
        if current.latest == seen && !shared.catalogue_is_behind(current.catalogue) && !opens_more {
            return Ok(());
        }
        // One snapshot for all of it: a key is never read without its account, nor a deployment
        // without its models.
        let snapshot = shared.storage.snapshot().await?;
        let current = revisions::current(&snapshot).await?;
        for change in accounts::changed_since(&snapshot, seen).await? {
            match change {
                Ok((revision, account)) => shared.keys.apply_account(revision, &account),
                Err(row) => {
                    let (revision, id) = unreadable.judge(row)?;
                    shared.keys.disable_account(revision, id);
                }
            }
        }
        for change in api_keys::changed_since(&snapshot, seen).await? {
            match change {
                // At the start, keys that were deleted long ago need no place in memory.
                Ok((_, key)) if seen == 0 && key.status == KeyStatus::Deleted => {}
                Ok((revision, key)) => shared.keys.apply_key(revision, &key),
                Err(row) => {
                    let (revision, id) = unreadable.judge(row)?;
                    shared.keys.disable_key(revision, id);
                }
            }
        }
        self.refresh_wallets(&snapshot, seen, unreadable).await?;
        if shared.catalogue_is_behind(current.catalogue) || opens_more {
            let catalogue = self.read_catalogue(&snapshot).await?;
            shared.install_catalogue(current.catalogue, catalogue);
        }
        // Two may read at once: the loop, and a look for an unknown key.
        shared.seen.fetch_max(current.latest, Ordering::AcqRel);
        Ok(())
    }

    /// Reads the whole catalogue.
    pub(crate) async fn read_catalogue(&self, snapshot: &impl Source) -> Result<Catalogue, StorageError> {
        let mut entries: HashMap<ModelName, Vec<_>> = HashMap::new();
        for (version, record) in prices::all(snapshot).await? {
            let of_model = entries.entry(record.model.clone()).or_default();
            of_model.push((version, record));
        }
        let models = catalogue::list(snapshot).await?.into_iter().map(|record| {
            let entries = entries.remove(&record.id).unwrap_or_default();
            Arc::new(CatalogueModel::new(record, entries))
        });
        let models = models.collect();
        let deployments = self
            .shared
            .vault
            .list(snapshot, &self.catalogue())
            .await?
            .into_iter()
            .map(Arc::new)
            .collect();
        Ok(Catalogue::new(models, deployments))
    }
}

/// Logs the beginning and the end of an outage, and nothing in between.
fn report(health: Health, outcome: Result<Result<(), PlatformError>, tokio::time::error::Elapsed>) -> Health {
    match (health, outcome) {
        (Health::Up, Ok(Ok(()))) => Health::Up,
        (Health::Down, Ok(Ok(()))) => {
            tracing::info!("database is back; changes of other processes are in force again");
            Health::Up
        }
        (Health::Down, Ok(Err(_)) | Err(_)) => Health::Down,
        (Health::Up, Ok(Err(error))) => {
            tracing::error!(error = %chain(&error), "database cannot be read; going on with the last known keys and models");
            Health::Down
        }
        (Health::Up, Err(_)) => {
            tracing::error!(
                timeout_ms = PATIENCE.as_millis(),
                "database does not answer; going on with the last known keys and models"
            );
            Health::Down
        }
    }
}
