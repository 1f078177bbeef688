//! Journals in folders of their own, and events to put into them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use silica_billing::{BillingDay, BucketKind, BucketPart, CallStatus, PriceVersion, Units, UsageEvent};
use silica_journal::{Closed, Durability, Entry, Journal, JournalOptions};
use silica_types::{
    AccountId, ApiKeyId, BucketId, Clock, ModelName, Money, RequestId, SystemClock, TraceId, UsageSource,
};
use tempfile::TempDir;

/// A folder for one journal.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    pub(crate) fn open(&self) -> Journal {
        Journal::open(options(&self.path())).unwrap()
    }

    /// Writes `count` events and closes the journal.
    pub(crate) async fn with_events(count: u64) -> (Self, Vec<UsageEvent>) {
        let place = Self::new();
        let journal = place.open();
        let events = append_all(&journal, count).await;
        journal.close().await;
        (place, events)
    }
}

/// Small and quick.
pub(crate) fn options(path: &Path) -> JournalOptions {
    JournalOptions {
        path: path.to_owned(),
        durability: Durability::Process,
        preallocate: 0,
        min_free: 0,
        max_size: 1 << 30,
    }
}

/// An event that no other one equals; `amount` is in nano-CNY.
pub(crate) fn event(amount: u64) -> UsageEvent {
    let now = SystemClock.now();
    let amount = Money::from_nano(amount.cast_signed());
    UsageEvent {
        id: RequestId::new(&SystemClock),
        account: AccountId::new(&SystemClock),
        key: ApiKeyId::new(&SystemClock),
        model: ModelName::new("Qwen/Qwen2.5-7B-Instruct").unwrap(),
        units: Units {
            prompt_tokens: 123,
            completion_tokens: 456,
            ..Units::default()
        },
        source: UsageSource::Engine,
        price: Some(PriceVersion(7)),
        amount,
        shortfall: Money::ZERO,
        parts: vec![BucketPart {
            bucket: BucketId::new(&SystemClock),
            kind: BucketKind::Charge,
            amount,
        }],
        trace: TraceId::generate(&SystemClock),
        status: CallStatus::Complete,
        started_at: now,
        settled_at: now,
        day: BillingDay::from_number(20_250_213).unwrap(),
    }
}

/// Appends `count` events with the amounts 1, 2, ... and waits for them.
pub(crate) async fn append_all(journal: &Journal, count: u64) -> Vec<UsageEvent> {
    let events: Vec<_> = (1..=count).map(event).collect();
    let commits: Vec<_> = events.iter().map(|event| journal.append(event.clone())).collect();
    for commit in commits {
        commit.await.unwrap();
    }
    events
}

pub(crate) fn events_of(entries: Vec<Entry>) -> Vec<UsageEvent> {
    entries.into_iter().map(|entry| entry.event).collect()
}

/// Everything that the journal has.
pub(crate) async fn all(journal: &Journal) -> Vec<UsageEvent> {
    events_of(journal.unapplied(usize::MAX).await.unwrap())
}

/// Waits until the gate is in a state.
pub(crate) async fn gate_is(journal: &Journal, expected: Result<(), Closed>) {
    until(|| journal.gate() == expected).await;
}

/// Waits until a condition holds that nothing announces.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("the condition within half a minute");
}

/// What the process logs from warnings on.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Of all threads. Other tests may log to it as well, so look for one journal's path.
    pub(crate) fn of_this_process() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::WARN)
                .with_writer(move || writer.clone())
                .with_ansi(false)
                .init();
            log
        });
        log.clone()
    }

    pub(crate) fn lines_with(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains(part));
        lines.map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
