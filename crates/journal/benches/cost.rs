//! CPU of the process per event, all threads counted: append, commit, read by an applier, forget.
//!
//! `cargo bench -p silica-journal`; the first argument is the number of events a run (default
//! 100000).

#![expect(clippy::print_stdout, reason = "prints its figures")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use silica_billing::{BillingDay, BucketKind, BucketPart, CallStatus, PriceVersion, Units, UsageEvent};
use silica_journal::{Durability, Journal, JournalOptions};
use silica_types::{
    AccountId, ApiKeyId, BucketId, Clock, ModelName, Money, RequestId, SystemClock, TraceId, UsageSource,
};

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
    println!("{events} events a run; microseconds of CPU per event (and of wall time)");
    for callers in [1, 4, 32, 256] {
        for durability in [Durability::Process, Durability::Disk] {
            // One caller waits for the disk at each event.
            let events = if durability == Durability::Disk && callers < 32 {
                events / 20
            } else {
                events
            };
            let cost = runtime.block_on(measure(events, callers, durability))?;
            println!("{callers:>4} callers, {durability:<7}: {cost}");
        }
    }
    let base = runtime.block_on(baseline(events))?;
    println!("of which making the event itself: {base}");
    Ok(())
}

/// Runs `callers` that each append one event after the other, and an applier beside them.
async fn measure(events: u64, callers: u64, durability: Durability) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(JournalOptions {
        path: folder.path().join("journal.db"),
        durability,
        preallocate: 16 << 20,
        min_free: 0,
        max_size: 1 << 30,
    })?;
    let template = event()?;
    let (cpu, wall) = (cpu_nanos(), Instant::now());
    let tasks = tokio_util::task::TaskTracker::new();
    for _ in 0..callers {
        let (journal, template) = (journal.clone(), template.clone());
        tasks.spawn(async move {
            for _ in 0..events / callers {
                let event = UsageEvent {
                    id: RequestId::new(&SystemClock),
                    ..template.clone()
                };
                if journal.append(event).await.is_err() {
                    return;
                }
                // The rest of a call would come here.
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.close();
    let applied = AtomicU64::new(0);
    let total = events / callers * callers;
    while applied.load(Ordering::Relaxed) < total {
        journal.committed().await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        loop {
            let entries = journal.unapplied(2000).await?;
            let Some(last) = entries.last() else { break };
            journal.forget(last.sequence);
            applied.fetch_add(entries.len() as u64, Ordering::Relaxed);
        }
    }
    tasks.wait().await;
    let line = per_event(cpu_nanos() - cpu, wall.elapsed().as_nanos(), total);
    journal.close().await;
    Ok(line)
}

async fn baseline(events: u64) -> Result<String, Failure> {
    let template = event()?;
    let (cpu, wall) = (cpu_nanos(), Instant::now());
    for _ in 0..events {
        let event = UsageEvent {
            id: RequestId::new(&SystemClock),
            ..template.clone()
        };
        drop(std::hint::black_box(event));
        tokio::task::yield_now().await;
    }
    Ok(per_event(cpu_nanos() - cpu, wall.elapsed().as_nanos(), events))
}

/// Tenths of microseconds in whole numbers.
fn per_event(cpu: u128, wall: u128, events: u64) -> String {
    let tenths = |nanos: u128| {
        let tenths = nanos / 100 / u128::from(events.max(1));
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    format!("{:>6} us ({:>6} us)", tenths(cpu), tenths(wall))
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
