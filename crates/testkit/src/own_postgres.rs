//! A PostgreSQL server of one test alone, which may be frozen, killed and started again.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use silica_storage::{DatabaseUrl, Storage};
use tokio::time::{Instant, sleep};

use crate::{ledger_discrepancies, postgres};

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at something that another process does.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A running server with one empty database. Dropping it ends it.
#[derive(Debug)]
pub struct OwnPostgres {
    url: String,
    folder: PathBuf,
    /// The program of the first process and its arguments, to start it again.
    command: Vec<String>,
    main: Pid,
    script: Child,
    restarted: Option<Child>,
}

impl OwnPostgres {
    /// Starts a server that keeps what it has committed when it is killed.
    ///
    /// # Panics
    /// When that fails: such a test must not pass by being left out.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn start() -> Self {
        let (url, script) = postgres::start();
        let connection = connect(&url).await.expect("a connection to the new server");
        // The script's settings lose commits of the last moment with the process.
        for sql in [
            "ALTER SYSTEM SET synchronous_commit = on",
            "SELECT pg_reload_conf()",
        ] {
            connection.execute_unprepared(sql).await.expect(sql);
        }
        let sql = "SELECT pg_read_file('postmaster.pid') AS lines";
        let row = connection
            .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
            .await
            .expect("the server's own file");
        let lines: String = row
            .expect("one row")
            .try_get("", "lines")
            .expect("the file's text");
        connection.close().await.expect("the connection closes");
        let mut lines = lines.lines();
        let main = process(lines.next().expect("a process id"));
        let folder = PathBuf::from(lines.next().expect("the server's folder"));
        let arguments = fs::read_to_string(proc_file(main, "cmdline")).expect("the server's arguments");
        let program = fs::read_link(proc_file(main, "exe")).expect("the server's program");
        let mut command = vec![program.display().to_string()];
        command.extend(arguments.split_terminator('\0').skip(1).map(str::to_owned));
        Self {
            url,
            folder,
            command,
            main,
            script,
            restarted: None,
        }
    }

    /// The url of the database as text, with its password.
    pub fn url_text(&self) -> &str {
        &self.url
    }

    /// Stops every process of the server where it stands; connections stay open and nobody answers.
    pub fn freeze(&self) {
        // The first process first: it makes the others.
        send(self.main, Signal::STOP);
        for child in children(self.main) {
            send(child, Signal::STOP);
        }
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        for child in children(self.main) {
            send(child, Signal::CONT);
        }
        send(self.main, Signal::CONT);
    }

    /// Ends the server's side of every connection of silica.
    ///
    /// # Panics
    /// When the server does not do that.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn cut_connections(&self) {
        let connection = connect(&self.url).await.expect("a connection to the server");
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'silica'";
        connection.execute_unprepared(sql).await.expect(sql);
        connection.close().await.expect("the connection closes");
    }

    /// Kills every process of the server.
    ///
    /// # Panics
    /// When they stay.
    pub async fn kill(&mut self) {
        self.freeze();
        let mut processes = children(self.main);
        processes.push(self.main);
        for process in &processes {
            send(*process, Signal::KILL);
        }
        if let Some(mut child) = self.restarted.take() {
            let _ended = child.wait();
        }
        let deadline = Instant::now() + START_LIMIT;
        while processes.iter().any(|process| is_running(*process)) {
            assert!(Instant::now() < deadline, "the killed server stays");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Starts a killed server on what it has left.
    ///
    /// # Panics
    /// When that fails.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn restart(&mut self) {
        self.remove_locks();
        let owner = fs::metadata(&self.folder).expect("the server's folder");
        let (program, arguments) = self.command.split_first().expect("a program");
        let child = Command::new(program)
            .args(arguments)
            .uid(owner.uid())
            .gid(owner.gid())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts again");
        self.main = process(&child.id().to_string());
        self.restarted = Some(child);
        let deadline = Instant::now() + START_LIMIT;
        while connect(&self.url).await.is_err() {
            assert!(Instant::now() < deadline, "the server does not answer");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Removes the files that name a process which is gone, and whose number may be another's by now.
    fn remove_locks(&self) {
        let _absent = fs::remove_file(self.folder.join("postmaster.pid"));
        let beside = self.folder.parent().map(fs::read_dir);
        for entry in beside.into_iter().flatten().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
                let _absent = fs::remove_file(entry.path());
            }
        }
    }

    /// Everything in the ledger that does not add up, in words.
    ///
    /// # Panics
    /// When it cannot be read.
    #[expect(clippy::expect_used, reason = "a test that cannot read the ledger has failed")]
    pub async fn ledger_discrepancies(&self) -> Vec<String> {
        let url: DatabaseUrl = self.url.parse().expect("a valid database url");
        let storage = Storage::open(&url).await.expect("the database opens");
        let found = ledger_discrepancies(&storage).await;
        storage.close().await.expect("the database closes");
        found
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        // What is frozen does not end by itself.
        self.thaw();
        drop(self.script.stdin.take());
        let _ended = self.script.wait();
        if let Some(mut child) = self.restarted.take() {
            let _ended = child.wait();
        }
    }
}

async fn connect(url: &str) -> Result<DatabaseConnection, sea_orm::DbErr> {
    Database::connect(url).await
}

#[expect(clippy::expect_used, reason = "a test without its database has failed")]
fn process(id: &str) -> Pid {
    let id = id.trim().parse().ok();
    id.and_then(Pid::from_raw).expect("a process id")
}

fn send(process: Pid, signal: Signal) {
    // One that has ended meanwhile needs no signal.
    let _gone = kill_process(process, signal);
}

fn proc_file(process: Pid, name: &str) -> PathBuf {
    Path::new("/proc")
        .join(process.as_raw_nonzero().to_string())
        .join(name)
}

/// The processes that `parent` has made.
fn children(parent: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|process| {
            let fields = state_and_parent(*process);
            fields.is_some_and(|(_, of)| of == parent.as_raw_nonzero().get())
        })
        .collect()
}

/// Whether the process does more than wait for somebody to ask how it ended.
fn is_running(process: Pid) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| state != "Z")
}

fn state_and_parent(process: Pid) -> Option<(String, i32)> {
    let text = fs::read_to_string(proc_file(process, "stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
