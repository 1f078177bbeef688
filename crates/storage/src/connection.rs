//! Opening a database, with the settings that each of the two kinds needs.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions, Connection};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqlxPostgresConnector, SqlxSqliteConnector, Statement, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::fs::OpenOptions;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::database_url::Target;
use crate::error::driver;
use crate::ledger::Partitions;
use crate::migrations::Migrator;
use crate::transaction::{Executor, Source, write_options};
use crate::{DatabaseUrl, StorageError};

/// SQLite readers; more would only queue for the same two or so cores.
const SQLITE_READERS: u32 = 4;
/// PostgreSQL connections of one process.
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long a statement waits for a free connection, and a SQLite writer for the lock of another process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two tries to open a SQLite file that others are opening.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The number of the advisory lock under which one process migrates a PostgreSQL database.
const MIGRATION_LOCK: i64 = 0x5111_CA00;
/// How long PostgreSQL lets a statement wait for a lock (the row of `revisions` makes changes wait
/// for each other), lets it run, and lets a transaction idle that holds such locks. The database
/// url may set its own by `options[lock_timeout]=…`.
const POSTGRES_LIMITS: [(&str, &str); 3] = [
    ("lock_timeout", "5s"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "10s"),
];
/// A migration may rewrite a large table, and another process waits for it as long.
const MIGRATION_LIMITS: &str = "SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = '10min'";
/// The name under which PostgreSQL lists the connections of servers.
pub(crate) const SERVER: &str = "silica";

/// An open database. Cheap to clone: clones share the connections.
#[derive(Clone)]
pub struct Storage {
    pools: Arc<Pools>,
}

/// SQLite has one writer connection, because it has one writer at a time anyway: writers queue
/// here, in order, instead of failing with "database is locked". PostgreSQL has one pool for both.
struct Pools {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    partitions: Partitions,
    commits: watch::Sender<i64>,
}

impl Storage {
    /// Opens the database, makes a SQLite file that does not exist, and brings the schema up to date.
    ///
    /// # Errors
    /// [`StorageError::Driver`] when the database cannot be reached or a migration fails.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StorageError> {
        let storage = Self::connect(url, SERVER).await?;
        storage.update_schema().await?;
        Ok(storage)
    }

    /// Opens the database, makes a SQLite file that does not exist, and leaves the schema as it is.
    /// PostgreSQL lists the connections under `name`.
    pub(crate) async fn connect(url: &DatabaseUrl, name: &str) -> Result<Self, StorageError> {
        let pools = match url.target() {
            Target::Sqlite(path) => open_sqlite(path).await,
            Target::Postgres { options, .. } => open_postgres(options.as_ref().clone(), name).await,
        };
        let pools = pools.map_err(failed_to_open)?;
        Ok(Self {
            pools: Arc::new(pools),
        })
    }

    /// Brings the schema up to date.
    pub(crate) async fn update_schema(&self) -> Result<(), StorageError> {
        self.migrate()
            .await
            .map_err(driver("bring the schema up to date", "seaql_migrations"))
    }

    /// Closes every connection; later calls fail with [`StorageError::Driver`].
    ///
    /// # Errors
    /// [`StorageError::Driver`] when the driver cannot close them in order.
    pub async fn close(&self) -> Result<(), StorageError> {
        // The writer goes last: closing the last connection folds SQLite's WAL into the file.
        self.pools
            .reader
            .close_by_ref()
            .await
            .map_err(driver("close the database", "?"))?;
        self.pools
            .writer
            .close_by_ref()
            .await
            .map_err(driver("close the database", "?"))
    }

    /// Applies the missing migrations, all or none, while no other process does the same.
    async fn migrate(&self) -> Result<(), DbErr> {
        let transaction = self.begin_schema_change().await?;
        Migrator::up(&transaction, None).await?;
        transaction.commit().await
    }

    /// Begins a transaction that may change the schema, while no other process does the same: one that
    /// opens the database meanwhile waits for its end.
    pub(crate) async fn begin_schema_change(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.writer().begin_with_options(write_options()).await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            transaction.execute_unprepared(MIGRATION_LIMITS).await?;
            let lock = "SELECT pg_advisory_xact_lock($1)";
            transaction
                .execute_raw(Statement::from_sql_and_values(
                    DbBackend::Postgres,
                    lock,
                    [MIGRATION_LOCK.into()],
                ))
                .await?;
        }
        Ok(transaction)
    }

    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.pools.writer
    }

    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.pools.reader
    }

    pub(crate) fn partitions(&self) -> &Partitions {
        &self.pools.partitions
    }

    /// Watches the changes of this process: the number of the last one that was committed.
    pub fn commits(&self) -> watch::Receiver<i64> {
        self.pools.commits.subscribe()
    }

    /// Where [`Storage::commits`] hears of them.
    pub(crate) fn committed(&self) -> &watch::Sender<i64> {
        &self.pools.commits
    }
}

impl Source for Storage {
    fn executor(&self) -> Executor<'_> {
        Executor::from(self.reader())
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Storage({:?})", self.reader().get_database_backend())
    }
}

/// Says that a database could not be opened.
pub(crate) fn failed_to_open(source: sqlx::Error) -> StorageError {
    StorageError::Driver {
        action: "open the database",
        source: DbErr::Conn(RuntimeErr::SqlxError(Arc::new(source))),
    }
}

/// Opens the file, again and again for a while when others are opening it: SQLite refuses the
/// switch of a new file to WAL at once while another connection makes it, whatever the busy timeout.
async fn open_sqlite(path: &Path) -> Result<Pools, sqlx::Error> {
    make_private(path).await?;
    let deadline = Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        match connect_sqlite(path).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Whether SQLite answered `SQLITE_BUSY`, the low byte of its result code (5), or a variant of it.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: u32 = 5;
    error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == BUSY)
}

async fn connect_sqlite(path: &Path) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A key is shown once: its row must survive a power cut, so every commit is synced.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging();
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            // SQLite ends a transaction by itself on some errors, such as a full disk. The driver
            // does not notice and takes all later transactions for parts of that one: committing
            // them could keep nothing. Such a connection is closed, and another one opened.
            .before_acquire(|connection, _| {
                let is_usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_usable) })
            })
    };
    // The writer connects first: it switches the file to WAL, which a read-only connection cannot.
    let writer = pool().max_connections(1).connect_with(options.clone()).await?;
    let reader = pool()
        .max_connections(SQLITE_READERS)
        .connect_with(options.read_only(true))
        .await?;
    Ok(Pools {
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        partitions: Partitions::default(),
        commits: watch::Sender::new(0),
    })
}

/// Makes the file if it does not exist yet, and lets nobody but its owner read it: it holds
/// upstream keys. SQLite gives new side files the mode of the file itself.
async fn make_private(path: &Path) -> Result<(), sqlx::Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(path).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => tighten(path).await,
        Err(error) => Err(error),
    }
    .map_err(sqlx::Error::Io)
}

/// Takes the rights of others from a file that an earlier version or another tool made.
#[cfg(unix)]
async fn tighten(path: &Path) -> io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match tokio::fs::set_permissions(&file, Permissions::from_mode(0o600)).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Whoever owns the file has decided whom to share it with.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
async fn tighten(_path: &Path) -> io::Result<()> {
    Ok(())
}

async fn open_postgres(options: PgConnectOptions, name: &str) -> Result<Pools, sqlx::Error> {
    let given = options.get_options().unwrap_or_default().to_owned();
    let limits = POSTGRES_LIMITS
        .into_iter()
        .filter(|(name, _)| !given.contains(name));
    // Statements are not logged: their values hold e-mail addresses and key hashes.
    let options = options
        .application_name(name)
        .options(limits)
        .disable_statement_logging();
    // The pool tries a server that refuses again and again, and says "timed out" in the end; one
    // connection beside it says why.
    match tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await {
        Ok(connected) => connected?.close().await?,
        Err(_) => return Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
    }
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options);
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Pools {
        reader: connection.clone(),
        writer: connection,
        partitions: Partitions::default(),
        commits: watch::Sender::new(0),
    })
}
