//! PostgreSQL for tests: a server, and a database on it for each test.
//!
//! `scripts/postgres-for-tests.sh` starts the server. Around a whole test run (`make test`) it
//! hands the address to every test process in `SILICA_TEST_POSTGRES_URL`. Without the variable
//! (plain `cargo test`) each process starts the script by itself; the server then ends when the
//! process does, because the script's command reads from a pipe that the process holds open.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

/// The variable in which the script hands over the address of the server's own database.
const VARIABLE: &str = "SILICA_TEST_POSTGRES_URL";
/// Ends with the pipe from this process.
const WAIT_FOR_THE_END: &str = "echo \"$SILICA_TEST_POSTGRES_URL\"; exec cat >/dev/null";

/// The server that this process uses; a child of ours is held for its open pipe.
struct Server {
    url: String,
    _child: Option<Child>,
}

/// A database of one test; deleted on drop.
#[derive(Debug)]
pub(crate) struct TestPostgres {
    name: String,
    url: String,
}

impl TestPostgres {
    /// Makes an empty database with a name of its own.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub(crate) async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);

        let server = server();
        // The server is new for each run, so process and counter make the name unique.
        let name = format!(
            "silica_test_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let connection = connect(&server.url).await;
        let sql = format!("CREATE DATABASE {name}");
        connection
            .execute_unprepared(&sql)
            .await
            .expect("CREATE DATABASE on the test server");
        connection
            .close()
            .await
            .expect("the connection to the test server closes");
        let (base, _) = server
            .url
            .rsplit_once('/')
            .expect("a path in the url of the test server");
        Self {
            url: format!("{base}/{name}"),
            name,
        }
    }

    /// Ends the server's side of every connection to the database.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub(crate) async fn cut_connections(&self) {
        let connection = connect(&server().url).await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [self.name.as_str().into()]);
        connection
            .query_all_raw(statement)
            .await
            .expect("pg_terminate_backend on the test server");
    }

    /// Returns the database's address, with the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestPostgres {
    /// Deletes the database, cutting whatever is still connected.
    #[expect(
        clippy::print_stderr,
        reason = "a test helper has nowhere else to complain to"
    )]
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread with a runtime of its own: a test's runtime cannot be waited for in a drop.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.is_ok_and(|runtime| {
                runtime.block_on(async {
                    connect(&server().url)
                        .await
                        .execute_unprepared(&sql)
                        .await
                        .is_ok()
                })
            })
        });
        if !dropped.join().is_ok_and(|done| done) {
            eprintln!(
                "the test database {} was not deleted; it ends with its server",
                self.name
            );
        }
    }
}

#[expect(clippy::expect_used, reason = "a test without its database has failed")]
async fn connect(url: &str) -> DatabaseConnection {
    Database::connect(url)
        .await
        .expect("a connection to the PostgreSQL server of the tests")
}

/// Returns the server of the test run, or starts one for this process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();

    SERVER.get_or_init(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test script hands the server over in the environment"
        )]
        let given = std::env::var(VARIABLE);
        let (url, child) = given.map_or_else(
            |_| {
                let (url, child) = start();
                (url, Some(child))
            },
            |url| (url, None),
        );
        Server { url, _child: child }
    })
}

/// Starts a server that ends when the child's standard input is closed.
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test without its database has failed"
)]
pub(crate) fn start() -> (String, Child) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres-for-tests.sh");
    let mut child = Command::new(&script)
        .args(["sh", "-c", WAIT_FOR_THE_END])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    let mut url = String::new();
    let stdout = child.stdout.take().expect("the script's output is piped");
    BufReader::new(stdout)
        .read_line(&mut url)
        .expect("the script's output is text");
    if url.trim().is_empty() {
        let mut complaint = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr
                .read_to_string(&mut complaint)
                .expect("the script's complaint is text");
        }
        panic!("no PostgreSQL for the tests: {}", complaint.trim());
    }
    (url.trim().to_owned(), child)
}
