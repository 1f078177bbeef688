//! How a server under test is started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{Files, TestServer};

/// How long a start may take; a debug build on a busy machine is slow.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Pause between two looks at something that another process does.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The signals that a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from a service manager.
    Terminate,
    /// SIGINT, from Ctrl-C.
    Interrupt,
    /// SIGHUP, which lets a server read its catalogue file again.
    Hangup,
}

/// The folder of a server that was stopped; [`ServerBuilder::data_of`] starts on it again.
#[derive(Debug)]
pub struct Stopped {
    folder: TempDir,
}

impl Stopped {
    pub(super) const fn new(folder: TempDir) -> Self {
        Self { folder }
    }
}

/// A server that ended before it was ready.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// What it left behind, for another try.
    pub data: Stopped,
}

/// Settings of a server to start.
#[derive(Debug)]
pub struct ServerBuilder {
    binary: PathBuf,
    folder: TempDir,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    stdout: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl ServerBuilder {
    pub(super) fn new(binary: &Path) -> Self {
        let environment = BTreeMap::from([("SILICA__ADMIN__LISTEN".to_owned(), "127.0.0.1:0".to_owned())]);
        Self {
            binary: binary.to_owned(),
            folder: temporary_folder(),
            environment,
            arguments: Vec::new(),
            stdout: None,
            data: None,
        }
    }

    /// Deploys the models in `folder` at the first start.
    #[must_use]
    pub fn models(self, folder: &Path) -> Self {
        let folder = folder.display().to_string();
        self.environment("SILICA__MODELS__DIR", folder)
    }

    /// Sets an environment variable. The process gets no others.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Writes `text` to a configuration file and names it on the command line.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its configuration has failed")]
    pub fn config(mut self, text: &str) -> Self {
        let path = self.folder.path().join("silica.toml");
        fs::write(&path, text).expect("the configuration file is written");
        self.arguments
            .extend(["--config".to_owned(), path.display().to_string()]);
        self
    }

    /// Puts a file in the place of the data folder.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its obstacle has failed")]
    pub fn data_is_a_file(self) -> Self {
        fs::write(self.folder.path().join("data"), "").expect("a file in the place of the data folder");
        self
    }

    /// Uses a data folder somewhere else, such as on another disk. What the server writes to its
    /// outputs stays in the temporary folder.
    #[must_use]
    pub fn data_at(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Starts on the data folder of a server that runs.
    #[must_use]
    pub fn data_beside(mut self, running: &TestServer) -> Self {
        self.data = Some(running.data().to_owned());
        self
    }

    /// Lets standard output go to `path`, such as `/dev/full`.
    #[must_use]
    pub fn stdout(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    /// Puts `text` into a file of the data folder before the start.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its file has failed")]
    pub fn data_file(self, name: &str, text: &str) -> Self {
        let data = self.folder.path().join("data");
        fs::create_dir_all(&data).expect("the data folder");
        fs::write(data.join(name), text).expect("a file in the data folder");
        self
    }

    /// Adds an argument to `silica serve`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts on the data of a server that was stopped before.
    #[must_use]
    pub fn data_of(mut self, stopped: Stopped) -> Self {
        self.folder = stopped.folder;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, or takes longer than a minute.
    pub async fn start(self) -> TestServer {
        let server = self.start_without_waiting().await;
        let ready = format!("{}/readyz", server.base_url());
        let deadline = Instant::now() + START_LIMIT;
        // The terminal is told after /readyz turns good.
        while !(answers(&server, &ready).await && server.stdout().contains("Silica is ready on")) {
            assert!(
                Instant::now() < deadline,
                "the server is not ready in time:\n{}",
                server.log()
            );
            sleep(LOOK_AGAIN).await;
        }
        server
    }

    /// Starts the server and waits only until it listens.
    ///
    /// # Panics
    /// When it ends instead, or takes longer than a minute.
    pub async fn start_without_waiting(self) -> TestServer {
        let (mut child, files) = self.spawn();
        let deadline = Instant::now() + START_LIMIT;
        let (base_url, admin_url) = loop {
            if let Some(addresses) = addresses(&files.data) {
                break addresses;
            }
            let ended = child.try_wait().ok().flatten();
            let log = || files.read("stderr");
            assert!(
                ended.is_none(),
                "the server ended instead of starting ({ended:?}):\n{}",
                log()
            );
            assert!(
                Instant::now() < deadline,
                "the server does not listen in time:\n{}",
                log()
            );
            sleep(LOOK_AGAIN).await;
        };
        TestServer {
            child,
            files,
            base_url,
            admin_url,
            client: client(),
        }
    }

    /// Starts a server that must not get ready, and waits for its end.
    ///
    /// # Panics
    /// When it runs on.
    #[expect(
        clippy::expect_used,
        reason = "a server that starts all the same fails the test"
    )]
    pub async fn refused(self) -> Refused {
        let (mut child, files) = self.spawn();
        let ended = timeout(START_LIMIT, child.wait()).await;
        assert!(
            ended.is_ok(),
            "the server runs instead of refusing:\n{}",
            files.read("stderr")
        );
        let status = ended.expect("the server ends").expect("its status");
        let (stdout, stderr) = (files.read("stdout"), files.read("stderr"));
        let data = Stopped { folder: files.folder };
        Refused {
            status,
            stdout,
            stderr,
            data,
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a test whose server cannot be started has failed"
    )]
    fn spawn(self) -> (Child, Files) {
        let root = self.folder.path();
        let data = self.data.unwrap_or_else(|| {
            let data = root.join("data");
            // A killed server leaves its addresses behind.
            let _ = fs::remove_file(data.join("addresses.json"));
            data
        });
        let file = |path: PathBuf| Stdio::from(File::create(path).expect("a file for the output"));
        let child = Command::new(&self.binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(file(self.stdout.unwrap_or_else(|| root.join("stdout"))))
            .stderr(file(root.join("stderr")))
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        (
            child,
            Files {
                folder: self.folder,
                data,
            },
        )
    }
}

/// Both addresses, once the server has written them.
fn addresses(data: &Path) -> Option<(String, String)> {
    let text = fs::read_to_string(data.join("addresses.json")).ok()?;
    let addresses: serde_json::Value = serde_json::from_str(&text).ok()?;
    let address = |name: &str| addresses.get(name)?.as_str().map(str::to_owned);
    Some((address("public")?, address("admin")?))
}

async fn answers(server: &TestServer, url: &str) -> bool {
    server
        .client
        .get(url)
        .send()
        .await
        .is_ok_and(|response| response.status().is_success())
}

#[expect(clippy::expect_used, reason = "a test without its client has failed")]
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()
        .expect("an HTTP client")
}

#[expect(clippy::expect_used, reason = "a test without its folder has failed")]
pub(super) fn temporary_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("silica-test-")
        .tempdir()
        .expect("a temporary folder")
}

#[expect(
    clippy::expect_used,
    reason = "signalling a process that has ended is a fault of the test"
)]
pub(super) fn send_signal(child: &Child, signal: Signal) {
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .expect("the process runs");
    let process = rustix::process::Pid::from_raw(id).expect("a process id");
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Hangup => rustix::process::Signal::HUP,
    };
    rustix::process::kill_process(process, signal).expect("the signal is sent");
}
