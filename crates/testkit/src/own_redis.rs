//! A Redis or Valkey of one test alone, which may be frozen, killed and started again.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// The programs that will do, the first one that is there.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];
/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Pause between two looks at something that another process does.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often another port is tried when one was taken between looking and listening.
const PORTS: usize = 5;

/// A running server with nothing in it, on a free port. Dropping it ends it.
#[derive(Debug)]
pub struct OwnRedis {
    port: u16,
    folder: TempDir,
    process: Mutex<Option<Child>>,
}

impl OwnRedis {
    /// Starts a server.
    ///
    /// # Panics
    /// When that fails: such a test must not pass by being left out.
    #[expect(
        clippy::expect_used,
        clippy::panic,
        reason = "a test without its Redis has failed"
    )]
    pub async fn start() -> Self {
        for _ in 0..PORTS {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = free.local_addr().expect("its address").port();
            drop(free);
            let server = Self {
                port,
                folder: tempfile::tempdir().expect("a folder"),
                process: Mutex::default(),
            };
            server.spawn();
            if server.answers().await {
                return server;
            }
        }
        panic!("no Redis for the test: it does not start");
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it. What it has kept in memory is gone unless it was saved.
    ///
    /// # Panics
    /// When it runs no more.
    #[expect(clippy::expect_used, reason = "a test that kills nothing has failed")]
    pub fn kill(&self) {
        let mut process = self.process().take().expect("a running server");
        process.kill().expect("the server can be killed");
        let _ended = process.wait();
    }

    /// Starts it again after [`OwnRedis::kill`], on what it has saved.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        self.spawn();
        assert!(self.answers().await, "Redis starts again");
    }

    /// Stops it where it stands; connections stay open and nobody answers.
    pub fn freeze(&self) {
        self.send(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.send(Signal::CONT);
    }

    /// The CPU time that it has used, in microseconds: clock ticks of ten milliseconds.
    ///
    /// # Panics
    /// When it runs no more.
    #[expect(clippy::expect_used, reason = "a measurement without its process has failed")]
    pub fn cpu_us(&self) -> i64 {
        let id = self.process().as_ref().expect("a running server").id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("its account of time");
        // After the name in brackets: user and system time are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<i64>().ok());
        ticks.sum::<i64>() * 10_000
    }

    /// Sends one command and returns what is answered first, at most a buffer of it.
    ///
    /// # Panics
    /// When the server does not answer.
    #[expect(clippy::expect_used, reason = "a test without its Redis has failed")]
    pub async fn command(&self, words: &[&str]) -> String {
        self.ask(words).await.expect("an answer of Redis")
    }

    async fn ask(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let words_alone = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let request: String = [format!("*{}\r\n", words.len())]
            .into_iter()
            .chain(words_alone)
            .collect();
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 64 * 1024];
        let length = stream.read(&mut buffer).await?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[expect(clippy::panic, reason = "a test without its Redis has failed")]
    fn spawn(&self) {
        let port = self.port.to_string();
        let settings = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--appendonly",
            "no",
            "--save",
            "",
        ];
        for program in PROGRAMS {
            let child = Command::new(program)
                .args(settings)
                .arg("--dir")
                .arg(self.folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            if let Ok(child) = child {
                *self.process() = Some(child);
                return;
            }
        }
        panic!("no valkey-server or redis-server in PATH; install one with: apt-get install redis-server");
    }

    async fn answers(&self) -> bool {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if self
                .ask(&["PING"])
                .await
                .is_ok_and(|answer| answer.starts_with("+PONG"))
            {
                // Another process on the port would answer too.
                return self.runs();
            }
            if !self.runs() {
                return false;
            }
            sleep(LOOK_AGAIN).await;
        }
        false
    }

    fn runs(&self) -> bool {
        let mut process = self.process();
        process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, signal: Signal) {
        let id = self
            .process()
            .as_ref()
            .and_then(|process| i32::try_from(process.id()).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            let _gone = kill_process(pid, signal);
        }
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        if let Some(mut process) = self.process().take() {
            let _gone = process.kill();
            let _ended = process.wait();
        }
    }
}
