//! The two databases: the source, which nobody else may use, and the target, in one transaction.

use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sea_orm::sqlx::{self, ConnectOptions, Connection};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use sea_orm_migration::MigratorTrait;
use tokio::time::Instant;

use super::TransferError;
use crate::connection::{failed_to_open, is_busy};
use crate::error::driver;
use crate::migrations::Migrator;
use crate::transaction::{Executor, Source};
use crate::{DatabaseUrl, Snapshot, Storage, StorageError};

/// The name under which PostgreSQL lists our connections.
pub(super) const NAME: &str = "silica-migrate";
/// The table of the migrations that were applied.
const MIGRATIONS: &str = "seaql_migrations";
/// The connections of a process that has just ended are there for a moment.
const FAREWELL: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// One side waits while the other is read or written, however long that takes; a machine that is gone is noticed
/// within a minute or so.
const LIMITS: &str = "SET LOCAL statement_timeout = '1h'; SET LOCAL lock_timeout = '10min'; \
    SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL tcp_keepalives_idle = 30; \
    SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3";
const SERVERS: &str = "SELECT COUNT(*) AS number FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = $1";
const SQLITE_TABLES: &str =
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
const POSTGRES_TABLES: &str =
    "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY name";

/// A transaction on one of the databases.
#[derive(Clone, Copy)]
pub(super) struct Side<'side>(pub(super) &'side DatabaseTransaction);

impl Side<'_> {
    pub(super) fn is_postgres(self) -> bool {
        self.0.get_database_backend() == DbBackend::Postgres
    }
}

impl Source for Side<'_> {
    fn executor(&self) -> Executor<'_> {
        Executor(self.0.into())
    }
}

/// The source, with its schema up to date.
pub(super) struct SourceDatabase {
    storage: Storage,
    /// Keeps servers from opening it (PostgreSQL) or from writing to it (SQLite).
    hold: DatabaseTransaction,
}

impl SourceDatabase {
    /// Opens a database that is there and that no server uses.
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Self, TransferError> {
        if let Some(path) = url.sqlite_path() {
            if !path.is_file() {
                return Err(TransferError::NoSource);
            }
            check_sqlite(path).await?;
        }
        let storage = Storage::connect(url, NAME).await?;
        if storage.reader().get_database_backend() == DbBackend::Postgres {
            check_postgres(&storage).await?;
        }
        storage.update_schema().await?;
        let hold = begin(&storage)
            .await
            .map_err(driver("hold the source", MIGRATIONS))?;
        let source = Self { storage, hold };
        // One may have come between the look and the hold.
        source.must_be_held().await?;
        Ok(source)
    }

    /// Makes sure that no server can have written since the hold began.
    pub(super) async fn must_be_held(&self) -> Result<(), TransferError> {
        let failed = || driver("hold the source", MIGRATIONS);
        self.hold.execute_unprepared("SELECT 1").await.map_err(failed())?;
        if Side(&self.hold).is_postgres() && servers(&self.storage).await.map_err(failed())? > 0 {
            return Err(TransferError::InUse);
        }
        Ok(())
    }

    /// All of it at one moment.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let snapshot = self.storage.snapshot().await?;
        if Side(snapshot.connection()).is_postgres() {
            let set = snapshot.connection().execute_unprepared(LIMITS).await;
            set.map_err(driver("begin a snapshot", "revisions"))?;
        }
        Ok(snapshot)
    }

    pub(super) async fn close(self) -> Result<(), StorageError> {
        let released = self.hold.rollback().await;
        released.map_err(driver("let go of the source", MIGRATIONS))?;
        self.storage.close().await
    }
}

/// Begins the transaction in which the target is filled, and makes the tables in it.
pub(super) async fn begin_target(target: &Storage) -> Result<DatabaseTransaction, TransferError> {
    let failed = || driver("prepare the target", MIGRATIONS);
    let transaction = begin(target).await.map_err(failed())?;
    let tables = tables(&transaction).await.map_err(failed())?;
    if let Some(table) = tables.first()
        && !tables.iter().any(|table| table == MIGRATIONS)
    {
        let table = table.clone();
        return Err(TransferError::ForeignTables { table });
    }
    Migrator::up(&transaction, None)
        .await
        .map_err(driver("make the tables of the target", MIGRATIONS))?;
    Ok(transaction)
}

/// Begins a transaction that keeps servers from opening the database until it ends.
async fn begin(storage: &Storage) -> Result<DatabaseTransaction, DbErr> {
    let transaction = storage.begin_schema_change().await?;
    if Side(&transaction).is_postgres() {
        transaction.execute_unprepared(LIMITS).await?;
    }
    Ok(transaction)
}

async fn tables(connection: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => POSTGRES_TABLES,
        _ => SQLITE_TABLES,
    };
    let rows = connection
        .query_all_raw(Statement::from_string(backend, sql))
        .await?;
    rows.iter().map(|row| row.try_get("", "name")).collect()
}

/// Looks into a file as the only one who has it open: in this mode SQLite refuses while anybody else
/// has, reading or not.
async fn check_sqlite(path: &Path) -> Result<(), TransferError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(Duration::ZERO)
        .disable_statement_logging();
    let deadline = Instant::now() + FAREWELL;
    loop {
        match look(&options).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(TransferError::NotOurs),
            Err(error) if !is_busy(&error) => return Err(failed_to_open(error).into()),
            Err(_) if Instant::now() >= deadline => return Err(TransferError::InUse),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Whether the file has tables of ours.
async fn look(options: &SqliteConnectOptions) -> Result<bool, sqlx::Error> {
    let mut connection = options.connect().await?;
    let names = async {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        sqlx::query_scalar::<_, String>(SQLITE_TABLES)
            .fetch_all(&mut connection)
            .await
    };
    let names = names.await;
    // Undoes the transaction, and gives the lock back before anybody else asks for it.
    connection.close().await?;
    Ok(names?.iter().any(|name| name == MIGRATIONS))
}

async fn check_postgres(storage: &Storage) -> Result<(), TransferError> {
    let failed = || driver("look who uses the database", "pg_stat_activity");
    let tables = tables(storage.reader()).await.map_err(failed())?;
    if !tables.iter().any(|table| table == MIGRATIONS) {
        return Err(TransferError::NotOurs);
    }
    let deadline = Instant::now() + FAREWELL;
    while servers(storage).await.map_err(failed())? > 0 {
        if Instant::now() >= deadline {
            return Err(TransferError::InUse);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn servers(storage: &Storage) -> Result<i64, DbErr> {
    let values = [crate::connection::SERVER.into()];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, SERVERS, values);
    let row = storage.reader().query_one_raw(statement).await?;
    row.map_or(Ok(0), |row| row.try_get("", "number"))
}
