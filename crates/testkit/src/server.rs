//! The real binary, started in a temporary folder on free ports.

mod builder;
mod exchange;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::timeout;

pub use builder::{Refused, ServerBuilder, Signal, Stopped};

/// A running server. Dropping it kills the process; if the test is failing, the log is shown.
#[derive(Debug)]
pub struct TestServer {
    child: Child,
    files: Files,
    base_url: String,
    admin_url: String,
    client: reqwest::Client,
}

/// The temporary folder of a server: its data folder and what it wrote.
#[derive(Debug)]
struct Files {
    folder: TempDir,
    data: PathBuf,
}

impl TestServer {
    /// Prepares a server of the binary at `path`: `TestServer::of(env!("CARGO_BIN_EXE_silica"))`.
    pub fn of(path: impl AsRef<Path>) -> ServerBuilder {
        ServerBuilder::new(path.as_ref())
    }

    /// The public address without a path, such as `http://127.0.0.1:41234`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The operator's address without a path.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.files.data
    }

    /// What the server has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.files.read("stdout")
    }

    /// What the server has written to standard error so far: its log.
    pub fn log(&self) -> String {
        self.files.read("stderr")
    }

    /// The API key that the first start printed.
    ///
    /// # Panics
    /// When it printed none.
    #[expect(
        clippy::expect_used,
        reason = "a test that needs the key has failed without it"
    )]
    pub fn api_key(&self) -> String {
        let stdout = self.stdout();
        let start = stdout.find("sk-").expect("the first start prints an API key");
        stdout[start..]
            .chars()
            .take_while(|character| !character.is_whitespace())
            .collect()
    }

    /// The operator's key from the data folder.
    ///
    /// # Panics
    /// When there is none.
    #[expect(
        clippy::expect_used,
        reason = "a test that needs the key has failed without it"
    )]
    pub fn admin_key(&self) -> String {
        let key =
            fs::read_to_string(self.files.data.join("admin.key")).expect("admin.key in the data folder");
        key.trim().to_owned()
    }

    /// The memory that the process has resident, in bytes.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The memory that the process has taken for itself: without the pages of its own program, which
    /// are many in a build for tests.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn taken_bytes(&self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    #[expect(
        clippy::expect_used,
        reason = "a test that needs the number has failed without it"
    )]
    fn status_bytes(&self, field: &str) -> u64 {
        let process = self.child.id().expect("the process runs");
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process's status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.expect("the field").trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().expect("a number of kB") * 1024
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) {
        builder::send_signal(&self.child, signal);
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When it runs on for longer than `limit`.
    #[expect(clippy::expect_used, reason = "a server that does not end fails the test")]
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let ended = timeout(limit, self.child.wait()).await;
        ended
            .expect("the server ends in time")
            .expect("the server's status")
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the server as a power failure would and keeps its data for the next start.
    ///
    /// # Panics
    /// When it cannot be killed.
    #[expect(clippy::expect_used, reason = "a server that cannot be killed fails the test")]
    pub async fn kill(mut self) -> Stopped {
        self.child.kill().await.expect("the server is killed");
        self.into_stopped()
    }

    /// Ends the server as a service manager would and keeps its data for the next start.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn stop(mut self) -> Stopped {
        self.signal(Signal::Terminate);
        let status = self.ended(Duration::from_secs(40)).await;
        assert!(status.success(), "the server ended with {status}");
        self.into_stopped()
    }

    /// Keeps the data of a server that has ended for the next start.
    #[must_use]
    pub fn into_stopped(mut self) -> Stopped {
        // A type with a destructor gives nothing away, so its folder is exchanged for an empty one.
        Stopped::new(std::mem::replace(
            &mut self.files.folder,
            builder::temporary_folder(),
        ))
    }
}

impl Files {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- log of the server ---\n{}", self.log());
        }
    }
}
