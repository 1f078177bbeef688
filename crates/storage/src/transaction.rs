//! Where repository functions read and write: the open database, a snapshot of it, or a change.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbBackend, EntityTrait,
    ExprTrait, IsolationLevel, QueryFilter, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use tokio::sync::watch;

use crate::entities::revision;
use crate::error::driver;
use crate::revisions::{self, Revisions};
use crate::{Storage, StorageError};

/// Something that repository functions can read from.
pub trait Source: Sync {
    /// Returns the connection to read with.
    fn executor(&self) -> Executor<'_>;
}

/// A borrowed connection or transaction; only this crate can use it.
pub struct Executor<'source>(pub(crate) DatabaseExecutor<'source>);

impl<'source> From<&'source DatabaseConnection> for Executor<'source> {
    fn from(connection: &'source DatabaseConnection) -> Self {
        Self(connection.into())
    }
}

/// What a change touches; other processes reload only that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Accounts and keys, whose rows are read again by their change number.
    Accounts,
    /// Models and deployments, which are read again as a whole.
    Catalogue,
}

/// A change under way. Dropping it undoes everything; [`Write::commit`] keeps it.
///
/// Changes run one after the other, in every process on the database.
pub struct Write {
    transaction: DatabaseTransaction,
    revision: i64,
    committed: watch::Sender<i64>,
}

/// An unchanging view of the database, for reads that must fit together.
pub struct Snapshot {
    transaction: DatabaseTransaction,
}

impl Storage {
    /// Begins a change and takes its number.
    ///
    /// # Errors
    /// [`StorageError::Driver`] when the database fails or stays locked for five seconds.
    pub async fn begin(&self, scope: Scope) -> Result<Write, StorageError> {
        let transaction = self
            .writer()
            .begin_with_options(write_options())
            .await
            .map_err(driver("begin a change", "revisions"))?;
        let revision = take_number(&transaction, scope).await?;
        Ok(Write {
            transaction,
            revision,
            committed: self.committed().clone(),
        })
    }

    /// Begins a read of several things at one moment.
    ///
    /// # Errors
    /// [`StorageError::Driver`] when the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        // SQLite's read transactions are snapshots already, and its driver warns about the option.
        let postgres = self.reader().get_database_backend() == DbBackend::Postgres;
        let options = TransactionOptions {
            isolation_level: postgres.then_some(IsolationLevel::RepeatableRead),
            ..TransactionOptions::default()
        };
        let transaction = self
            .reader()
            .begin_with_options(options)
            .await
            .map_err(driver("begin a snapshot", "revisions"))?;
        Ok(Snapshot { transaction })
    }
}

impl Write {
    /// Returns the number of the change, larger than that of every change committed before.
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// Makes the change last and returns its number.
    ///
    /// # Errors
    /// [`StorageError::Driver`] when the database fails; whether the change lasted is unknown then.
    pub async fn commit(self) -> Result<i64, StorageError> {
        self.transaction
            .commit()
            .await
            .map_err(driver("commit a change", "revisions"))?;
        self.committed.send_replace(self.revision);
        Ok(self.revision)
    }

    pub(crate) fn connection(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

impl Snapshot {
    pub(crate) fn connection(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

impl Source for Write {
    fn executor(&self) -> Executor<'_> {
        Executor((&self.transaction).into())
    }
}

impl Source for Snapshot {
    fn executor(&self) -> Executor<'_> {
        Executor((&self.transaction).into())
    }
}

/// Takes the next number of a change. The transaction keeps all others waiting for theirs, so it must
/// have locked nothing else yet.
pub(crate) async fn take_number(
    transaction: &DatabaseTransaction,
    scope: Scope,
) -> Result<i64, StorageError> {
    let next = Expr::col(revision::Column::Revision).add(1);
    let mut update = revision::Entity::update_many().col_expr(revision::Column::Revision, next.clone());
    if scope == Scope::Catalogue {
        update = update.col_expr(revision::Column::CatalogueRevision, next);
    }
    let updated = update
        .filter(revision::Column::Id.eq(revisions::ROW))
        .exec(transaction)
        .await
        .map_err(driver("take the number of a change", "revisions"))?;
    if updated.rows_affected != 1 {
        return Err(StorageError::MissingRow {
            table: "revisions",
            row: revisions::ROW.to_string(),
        });
    }
    let Revisions { latest, .. } = revisions::read(transaction).await?;
    Ok(latest)
}

/// SQLite takes its write lock at once (`BEGIN IMMEDIATE`): a transaction that reads first and
/// asks for the lock later fails when another wrote in between, however long it would wait.
/// PostgreSQL ignores the option.
pub(crate) fn write_options() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sea_orm::ConnectionTrait as _;
    use sea_orm::sqlx::sqlite::SqliteConnectOptions;
    use sea_orm::sqlx::{self, ConnectOptions};

    use super::*;
    use crate::DatabaseUrl;

    #[tokio::test]
    async fn sqlite_change_that_begins_with_a_read_can_write_beside_another_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("silica.db");
        let storage = Storage::open(&DatabaseUrl::sqlite(&path)).await.unwrap();
        let change = storage
            .writer()
            .begin_with_options(write_options())
            .await
            .unwrap();
        revisions::read(&change).await.unwrap();

        let impatient = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(Duration::ZERO);
        let mut other = impatient.connect().await.unwrap();
        let refused = sqlx::query("UPDATE revisions SET revision = revision + 1")
            .execute(&mut other)
            .await;

        let next = Expr::col(revision::Column::Revision).add(1);
        revision::Entity::update_many()
            .col_expr(revision::Column::Revision, next)
            .exec(&change)
            .await
            .expect("the change has had the lock since it began");
        change.commit().await.unwrap();
        refused.expect_err("the other writer has to wait");
    }

    /// What SQLite does on a full disk; the tests of the server have a real one.
    #[tokio::test]
    async fn sqlite_change_after_one_that_the_database_undid_by_itself_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("silica.db");
        let storage = Storage::open(&DatabaseUrl::sqlite(&path)).await.unwrap();
        let undone = storage.begin(Scope::Accounts).await.unwrap();
        undone.transaction.execute_unprepared("ROLLBACK").await.unwrap();
        drop(undone);
        drop(storage.begin(Scope::Accounts).await.unwrap());
        let kept = storage.begin(Scope::Accounts).await.unwrap();
        let revision = kept.commit().await.unwrap();

        let seen = revisions::read(storage.reader()).await.unwrap();
        assert_eq!(seen.latest, revision);
    }
}
