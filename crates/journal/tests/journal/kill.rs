//! A process that is killed between any two commits.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use silica_journal::{Durability, Journal, JournalOptions};

use crate::support::{all, event, options};

/// Tells the child where its journal is; the test does nothing without it.
const PLACE: &str = "SILICA_JOURNAL_TEST_PLACE";
const DURABILITY: &str = "SILICA_JOURNAL_TEST_DURABILITY";

#[tokio::test]
async fn committed_events_survive_sigkill() {
    kill_and_look(Durability::Process, 16).await;
}

#[tokio::test]
async fn committed_events_survive_sigkill_when_each_group_is_synced() {
    kill_and_look(Durability::Disk, 8).await;
}

/// Kills a writing child again and again, on one file.
async fn kill_and_look(durability: Durability, rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut known = BTreeMap::new();
    let mut applied = HashSet::new();
    for round in 0..rounds {
        // From the first commit on, and after checkpoints.
        let lines = 1 + round * round * 37 % 1500;
        let reports = run_until_killed(&path, durability, lines);
        let journal = Journal::open(child_options(&path, durability)).unwrap();
        let found: Vec<_> = all(&journal).await;
        journal.close().await;

        let ids: HashSet<_> = found.iter().map(|event| event.id.to_string()).collect();
        assert_eq!(ids.len(), found.len(), "no event stands in the file twice");
        for report in reports {
            match report.split_once(' ').unwrap() {
                ("committed", rest) => {
                    let (id, amount) = rest.split_once(' ').unwrap();
                    known.insert(id.to_owned(), amount.to_owned());
                }
                ("applied", id) => {
                    applied.insert(id.to_owned());
                }
                other => panic!("{other:?}"),
            }
        }
        // Both lines of one event may come in either order.
        known.retain(|id, _| !applied.contains(id));
        for (id, amount) in &known {
            let event = found
                .iter()
                .find(|event| event.id.to_string() == *id)
                .unwrap_or_else(|| panic!("round {round}: {id} was committed and is gone"));
            assert_eq!(event.amount.nano().to_string(), *amount);
        }
    }
}

/// Runs the child until it has reported so many lines; returns all that it reported.
fn run_until_killed(path: &Path, durability: Durability, lines: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_appends_until_it_is_killed", "--nocapture"])
        .env(PLACE, path)
        .env(DURABILITY, durability.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reports = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The harness writes lines of its own, and the kill may cut the last one.
        let Some(report) = line.strip_prefix("> ").and_then(|line| line.strip_suffix(" .")) else {
            continue;
        };
        reports.push(report.to_owned());
        if reports.len() as u64 == lines {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success(), "the child ended by itself: {status}");
    reports
}

fn child_options(path: &Path, durability: Durability) -> JournalOptions {
    JournalOptions {
        durability,
        preallocate: 256 << 10,
        ..options(path)
    }
}

/// Not a test: what [`run_until_killed`] runs in another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends_until_it_is_killed() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let durability = std::env::var_os(DURABILITY).unwrap();
    let durability: Durability = durability.to_str().unwrap().parse().unwrap();
    let journal = Journal::open(child_options(&path, durability)).unwrap();
    let amounts = AtomicU64::new(1);
    let callers = (0..8).map(|_| async {
        loop {
            let event = event(amounts.fetch_add(1, Ordering::Relaxed));
            let line = format!("committed {} {}", event.id, event.amount.nano());
            journal.append(event).await.unwrap();
            report(&line);
        }
    });
    let applier = async {
        loop {
            journal.committed().await;
            // Some are left, so that there is always something to lose.
            let mut entries = journal.unapplied(64).await.unwrap();
            entries.truncate(entries.len().saturating_sub(32));
            let Some(last) = entries.last().map(|entry| entry.sequence) else {
                continue;
            };
            for entry in entries {
                report(&format!("applied {}", entry.event.id));
            }
            journal.forget(last);
        }
    };
    futures::future::join(futures::future::join_all(callers), applier).await;
}

fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that is gone has killed us.
    let _gone = writeln!(out, "> {line} .").and_then(|()| out.flush());
}
