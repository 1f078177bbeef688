//! A database of its own for each test, of either kind.

use sea_orm::{ConnectionTrait, Database, DatabaseTransaction, Statement, TransactionTrait};
use silica_storage::{DatabaseUrl, Storage};
use tempfile::TempDir;

use crate::postgres::TestPostgres;

/// An empty, migrated database that goes away with this value.
///
/// Keep it alive for the whole test. Whatever has the [`Storage`] may outlive it, but finds its
/// connections cut.
#[derive(Debug)]
pub struct TestDatabase {
    storage: Storage,
    url: DatabaseUrl,
    text: String,
    place: Place,
}

/// A database without our tables, which goes away with this value.
#[derive(Debug)]
pub struct EmptyDatabase {
    url: DatabaseUrl,
    text: String,
    _place: Place,
}

/// What is deleted at the end; held for its `Drop`.
#[derive(Debug)]
enum Place {
    Folder(#[expect(dead_code, reason = "held for its Drop")] TempDir),
    Postgres(TestPostgres),
}

/// Makes an empty SQLite database in a temporary folder.
///
/// # Panics
/// When it cannot be made.
#[expect(clippy::expect_used, reason = "a test without its database has failed")]
pub async fn sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().expect("a temporary folder for SQLite");
    let text = format!("sqlite:{}", folder.path().join("silica.db").display());
    TestDatabase::open(text, Place::Folder(folder)).await
}

/// Makes an empty PostgreSQL database on the server of the test run, or on one of this process.
///
/// # Panics
/// When there is no PostgreSQL or it fails: such a test must not pass by being left out.
pub async fn postgres() -> TestDatabase {
    let database = TestPostgres::create().await;
    TestDatabase::open(database.url().to_owned(), Place::Postgres(database)).await
}

/// Names a SQLite file, in a temporary folder, that does not exist yet.
///
/// # Panics
/// When the folder cannot be made.
#[expect(clippy::expect_used, reason = "a test without its database has failed")]
pub fn empty_sqlite() -> EmptyDatabase {
    let folder = tempfile::tempdir().expect("a temporary folder for SQLite");
    let text = format!("sqlite:{}", folder.path().join("silica.db").display());
    EmptyDatabase {
        url: text.parse().expect("a valid database url"),
        text,
        _place: Place::Folder(folder),
    }
}

/// Makes a PostgreSQL database without our tables.
///
/// # Panics
/// As [`postgres`].
#[expect(clippy::expect_used, reason = "a test without its database has failed")]
pub async fn empty_postgres() -> EmptyDatabase {
    let database = TestPostgres::create().await;
    EmptyDatabase {
        url: database.url().parse().expect("a valid database url"),
        text: database.url().to_owned(),
        _place: Place::Postgres(database),
    }
}

/// Somebody who keeps others from booking; ends with [`HeldLedger::release`] or when dropped.
#[derive(Debug)]
#[must_use = "the ledger is free again when this is dropped"]
pub struct HeldLedger {
    transaction: DatabaseTransaction,
}

impl HeldLedger {
    /// Lets the others go on.
    ///
    /// # Panics
    /// When the database refuses that.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn release(self) {
        self.transaction.rollback().await.expect("the lock is given back");
    }
}

impl EmptyDatabase {
    /// Returns the url, for `Storage::open`, which makes the tables.
    pub const fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Returns the url as text with its password, for a child process or a driver of the test's own.
    pub fn url_text(&self) -> &str {
        &self.text
    }

    /// Opens the database, which makes the tables unless somebody has.
    ///
    /// # Panics
    /// When that fails.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn open(&self) -> Storage {
        Storage::open(&self.url).await.expect("the test database opens")
    }
}

impl TestDatabase {
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    async fn open(text: String, place: Place) -> Self {
        let url: DatabaseUrl = text.parse().expect("a valid database url");
        let storage = Storage::open(&url).await.expect("the test database opens");
        Self {
            storage,
            url,
            text,
            place,
        }
    }

    /// Returns the connections that the database was made with.
    pub fn storage(&self) -> Storage {
        self.storage.clone()
    }

    /// Opens further connections, as another process would.
    ///
    /// # Panics
    /// When that fails.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn reopen(&self) -> Storage {
        Storage::open(&self.url)
            .await
            .expect("the test database opens again")
    }

    /// Cuts every connection, as a restart of the server would. SQLite has no server to restart, so
    /// nothing happens there.
    pub async fn cut_connections(&self) {
        if let Place::Postgres(database) = &self.place {
            database.cut_connections().await;
        }
    }

    /// Runs a statement behind the back of the repositories, on a connection of its own.
    ///
    /// # Panics
    /// When the database refuses it.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn sabotage(&self, sql: &str) {
        let connection = Database::connect(&self.text)
            .await
            .expect("a connection to the test database");
        connection
            .execute_unprepared(sql)
            .await
            .expect("the statement is one that the test database takes");
        connection
            .close()
            .await
            .expect("the connection to the test database closes");
    }

    /// Reads the first column of every row, a text, behind the back of the repositories.
    ///
    /// # Panics
    /// When the database refuses the query, or the column is no text.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn read_text(&self, sql: &str) -> Vec<String> {
        let connection = Database::connect(&self.text)
            .await
            .expect("a connection to the test database");
        let query = Statement::from_string(connection.get_database_backend(), sql);
        let rows = connection
            .query_all_raw(query)
            .await
            .expect("the query is one that the test database takes");
        let texts = rows.iter().map(|row| row.try_get_by_index(0));
        let texts = texts.collect::<Result<_, _>>().expect("the column is a text");
        connection
            .close()
            .await
            .expect("the connection to the test database closes");
        texts
    }

    /// Keeps everybody else from writing to the ledger (in SQLite: to anything), as a long
    /// transaction of another program would.
    ///
    /// # Panics
    /// When the database refuses that.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn hold_ledger(&self) -> HeldLedger {
        let connection = Database::connect(&self.text)
            .await
            .expect("a connection to the test database");
        let transaction = connection.begin().await.expect("a transaction");
        let sql = match self.place {
            // Changes nothing, and takes the one lock there is.
            Place::Folder(_) => "DELETE FROM ledger WHERE 1 = 0",
            Place::Postgres(_) => "LOCK TABLE ledger IN EXCLUSIVE MODE",
        };
        transaction
            .execute_unprepared(sql)
            .await
            .expect("the lock is there to take");
        HeldLedger { transaction }
    }

    /// Returns the url, for `Storage::open`.
    pub const fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Returns the url as text with its password, for a child process or a driver of the test's own.
    pub fn url_text(&self) -> &str {
        &self.text
    }
}

/// Declares tests that run on both databases: `name::sqlite` and `name::postgres`.
///
/// ```ignore
/// silica_testkit::on_each_database! {
///     async fn account_is_found_by_its_id(database) {
///         let storage = database.storage();
///         // ...
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_each_database {
    ($($(#[$attribute:meta])* async fn $name:ident($database:ident) $body:block)+) => {
        $(
            mod $name {
                #[expect(unused_imports, reason = "not every test needs what its file imports")]
                use super::*;

                $(#[$attribute])*
                async fn case($database: &$crate::database::TestDatabase) $body

                #[tokio::test]
                async fn sqlite() {
                    let database = $crate::database::sqlite().await;
                    case(&database).await;
                }

                #[tokio::test]
                async fn postgres() {
                    let database = $crate::database::postgres().await;
                    case(&database).await;
                }
            }
        )+
    };
}
