//! Moves everything that a database holds to another one, of whichever kinds the two are.
//!
//! The target gets all of it in one transaction, its schema included, or stays as it was: no end of
//! the process, of a connection or of a server leaves half a copy, and no server ever sees one. What
//! arrived is read back and compared with the source before the transaction is committed. A target
//! that has rows is never written to; it is compared, so a repetition of a finished run says that
//! there is nothing to do. Rows are moved as they are: ids, times, amounts, sealed keys.

mod balances;
mod content;
mod copy;
mod pages;
mod report;
mod side;
mod tables;

use sea_orm::{DatabaseTransaction, EntityTrait, QuerySelect};

use self::content::{Contents, Counts};
use self::copy::{Copier, IsEmpty};
pub use self::report::{
    Balances, Comparison, KindBalance, Outcome, Progress, Step, TableComparison, TableContent, Transferred,
};
use self::side::{Side, SourceDatabase, begin_target};
use super::ledger;
use super::revisions::ROW;
use crate::entities::revision;
use crate::error::driver;
use crate::{DatabaseUrl, Storage, StorageError};

/// Why nothing was moved. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The two are one.
    #[error("source and target are the same database")]
    SameDatabase,
    /// The source's file does not exist.
    #[error("there is no such database")]
    NoSource,
    /// The source has no tables of ours.
    #[error("the database does not hold the state of a Silica installation")]
    NotOurs,
    /// Another process has the source open.
    #[error("another process uses the database; stop every server on it and run this again")]
    InUse,
    /// The target has tables, and none of them is ours.
    #[error(
        "the target holds tables of something else, such as {table}; nothing was changed, give it an empty database"
    )]
    ForeignTables {
        /// One of them.
        table: String,
    },
    /// The target has rows that differ from the source's.
    #[error(
        "the target is not empty and holds other rows than the source; nothing was changed, give it an empty database"
    )]
    OtherData {
        /// What differs.
        comparison: Box<Comparison>,
    },
    /// What was read back is not what was written.
    #[error("the copy differs from the source and was undone; the target is as it was")]
    CopyDiffers {
        /// What differs.
        comparison: Box<Comparison>,
    },
    /// A table cannot be read or written.
    #[error("table {table}")]
    Table {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// A database fails otherwise.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Moves the state in `from` to `to`, and tells how far it is. The source's schema is brought up to
/// date first, as a start of a server would do.
///
/// Dropping the future undoes everything.
///
/// # Errors
/// [`TransferError`]. When the commit itself fails, whether it lasted is unknown, and a repetition tells.
pub async fn run(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    tell: &mut dyn FnMut(Progress),
) -> Result<Transferred, TransferError> {
    // Also what is one file under two names.
    let file = |url: &DatabaseUrl| url.sqlite_path().and_then(|path| path.canonicalize().ok());
    if from.to_string() == to.to_string() || file(from).is_some_and(|path| Some(path) == file(to)) {
        return Err(TransferError::SameDatabase);
    }
    let source = SourceDatabase::open(from).await?;
    let target = Storage::connect(to, side::NAME).await?;
    let outcome = Box::pin(transfer(&source, &target, tell)).await;
    // What was found out is not lost to a connection that does not end well.
    for closed in [source.close().await, target.close().await] {
        if let Err(error) = closed {
            tracing::warn!(error = %error, "a database does not close; leaving it");
        }
    }
    outcome
}

async fn transfer(
    source: &SourceDatabase,
    target: &Storage,
    tell: &mut dyn FnMut(Progress),
) -> Result<Transferred, TransferError> {
    let (held, snapshot) = (source, source.snapshot().await?);
    let source = Side(snapshot.connection());
    let transaction = begin_target(target).await?;
    lock(&transaction).await?;
    let target = Side(&transaction);
    let counts = Counts::of(source).await?;
    if !IsEmpty::check(target).await? {
        // Said before everything is read.
        let found = Counts::of(target).await?;
        if let Some(comparison) = counts.difference(&found) {
            return Err(other_data(comparison));
        }
        let expected = Contents::of(source, &counts, Step::ReadingSource, tell).await?;
        let comparison = compare(source, target, expected, &counts, tell).await?;
        if !comparison.is_same() {
            return Err(other_data(comparison));
        }
        return Ok(Transferred {
            outcome: Outcome::WasThere,
            comparison,
        });
    }
    let copied = Copier::copy(source, target, &counts, tell).await?;
    let comparison = compare(source, target, copied, &counts, tell).await?;
    if !comparison.is_same() {
        let comparison = Box::new(comparison);
        return Err(TransferError::CopyDiffers { comparison });
    }
    held.must_be_held().await?;
    transaction
        .commit()
        .await
        .map_err(driver("commit the copy", "revisions"))?;
    Ok(Transferred {
        outcome: Outcome::Copied,
        comparison,
    })
}

fn other_data(comparison: Comparison) -> TransferError {
    TransferError::OtherData {
        comparison: Box::new(comparison),
    }
}

/// Keeps operators' changes of the target waiting until the transaction ends.
async fn lock(target: &DatabaseTransaction) -> Result<(), StorageError> {
    revision::Entity::find_by_id(ROW)
        .lock_exclusive()
        .one(target)
        .await
        .map(drop)
        .map_err(driver("lock the target", "revisions"))
}

async fn compare(
    source: Side<'_>,
    target: Side<'_>,
    expected: Contents,
    counts: &Counts,
    tell: &mut dyn FnMut(Progress),
) -> Result<Comparison, TransferError> {
    let found = Contents::of(target, counts, Step::Comparing, tell).await?;
    Ok(Comparison {
        tables: expected.compare(&found),
        balances: balances::compare(source, target).await?,
        source_discrepancies: ledger::verify_in(&source).await?,
        target_discrepancies: ledger::verify_in(&target).await?,
    })
}

#[cfg(test)]
mod tests;
