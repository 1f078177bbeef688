//! CPU of the process per event, all threads counted: append, commit, read and forget by an applier.
//!
//! `cargo bench -p silica-journal`; the first argument is the number of events a run (default
//! 100000).

#![expect(clippy::print_stdout, reason = "prints its figures")]

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use silica_billing::{BillingDay, BucketKind, BucketPart, CallStatus, PriceVersion, Units, UsageEvent};
use silica_journal::{Durability, Journal, JournalOptions};
use silica_types::{
    AccountId, ApiKeyId, BucketId, Clock, ModelName, Money, RequestId, SystemClock, TraceId, UsageSource,
};
use tokio_util::task::TaskTracker;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let events = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    println!("{events} events a run; microseconds per event: CPU of all threads, wall time");
    for load in LOADS {
        for durability in [Durability::Process, Durability::Disk] {
            // Few callers wait for the disk most of the time.
            let slow = durability == Durability::Disk || load.callers < 32;
            let events = if slow { events / 10 } else { events };
            let (name, kind) = (load.name, durability.as_str());
            let without = runtime.block_on(measure(events, load, None))?;
            let with = runtime.block_on(measure(events, load, Some(durability)))?;
            println!("{name:<40} {kind:<7}: {with}, of that without the journal {without}");
        }
    }
    Ok(())
}

/// How events come.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    callers: u64,
    /// Between the commit of one event and the next one of the same caller.
    pause: Duration,
}

const LOADS: [Load; 4] = [
    Load {
        name: "1 caller, one after the other",
        callers: 1,
        pause: Duration::ZERO,
    },
    Load {
        name: "32 callers, one after the other",
        callers: 32,
        pause: Duration::ZERO,
    },
    Load {
        name: "32 callers with calls of 3 ms",
        callers: 32,
        pause: Duration::from_millis(3),
    },
    Load {
        name: "256 callers with calls of 50 ms",
        callers: 256,
        pause: Duration::from_millis(50),
    },
];

/// Runs callers that append, and an applier beside them that reads and forgets.
async fn measure(events: u64, load: Load, durability: Option<Durability>) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let journal = durability.map(|durability| open(&folder.path().join("journal.db"), durability));
    let journal = journal.transpose()?;
    let template = event()?;
    let (cpu, wall) = (cpu_nanos(), Instant::now());
    let tasks = TaskTracker::new();
    let each = events / load.callers;
    for _ in 0..load.callers {
        let (journal, template) = (journal.clone(), template.clone());
        tasks.spawn(async move {
            for _ in 0..each {
                call(journal.as_ref(), &template, load.pause).await;
            }
        });
    }
    tasks.close();
    if let Some(journal) = journal {
        apply(&journal, each * load.callers).await?;
        tasks.wait().await;
        let cost = Cost::since(cpu, wall, each * load.callers);
        journal.close().await;
        return Ok(cost);
    }
    tasks.wait().await;
    Ok(Cost::since(cpu, wall, each * load.callers))
}

fn open(path: &Path, durability: Durability) -> Result<Journal, Failure> {
    let options = JournalOptions {
        path: path.to_owned(),
        durability,
        preallocate: 16 << 20,
        min_free: 0,
        max_size: 1 << 30,
    };
    Ok(Journal::open(options)?)
}

async fn call(journal: Option<&Journal>, template: &UsageEvent, pause: Duration) {
    if pause.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pause).await;
    }
    let event = UsageEvent {
        id: RequestId::new(&SystemClock),
        ..template.clone()
    };
    match journal {
        None => drop(std::hint::black_box(event)),
        // It fails only when the journal is closed, and then the applier fails, too.
        Some(journal) => drop(journal.append(event).await),
    }
}

/// Reads and forgets everything, as a database in good health would.
async fn apply(journal: &Journal, total: u64) -> Result<(), Failure> {
    let mut applied = 0;
    while applied < total {
        journal.committed().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        loop {
            let entries = journal.unapplied(2000).await?;
            let Some(last) = entries.last() else { break };
            journal.forget(last.sequence);
            applied += entries.len() as u64;
        }
    }
    Ok(())
}

/// What one event costs, in nanoseconds.
struct Cost {
    cpu: u128,
    wall: u128,
}

impl Cost {
    fn since(cpu: u128, wall: Instant, events: u64) -> Self {
        let events = u128::from(events.max(1));
        Self {
            cpu: (cpu_nanos() - cpu) / events,
            wall: wall.elapsed().as_nanos() / events,
        }
    }
}

impl std::fmt::Display for Cost {
    /// Microseconds with one digit after the point.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenth = |nanos: u128| nanos % 1000 / 100;
        let (cpu, wall) = (self.cpu, self.wall);
        write!(
            formatter,
            "{:>4}.{} ({:>4}.{})",
            cpu / 1000,
            tenth(cpu),
            wall / 1000,
            tenth(wall)
        )
    }
}

fn cpu_nanos() -> u128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u128::from(time.tv_sec.unsigned_abs()) * 1_000_000_000 + u128::from(time.tv_nsec.unsigned_abs())
}

fn event() -> Result<UsageEvent, Failure> {
    let now = SystemClock.now();
    Ok(UsageEvent {
        id: RequestId::new(&SystemClock),
        account: AccountId::new(&SystemClock),
        key: ApiKeyId::new(&SystemClock),
        model: ModelName::new("Qwen/Qwen2.5-7B-Instruct")?,
        units: Units {
            prompt_tokens: 123,
            completion_tokens: 456,
            ..Units::default()
        },
        source: UsageSource::Engine,
        price: Some(PriceVersion(7)),
        amount: Money::from_nano(202_650_000),
        shortfall: Money::ZERO,
        parts: vec![BucketPart {
            bucket: BucketId::new(&SystemClock),
            kind: BucketKind::Charge,
            amount: Money::from_nano(202_650_000),
        }],
        trace: TraceId::generate(&SystemClock),
        status: CallStatus::Complete,
        started_at: now,
        settled_at: now,
        day: BillingDay::from_number(20_250_213)?,
    })
}
