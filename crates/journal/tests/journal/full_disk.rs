//! A disk that fills up: a real small file system, not a mock.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use silica_journal::{Closed, Journal, JournalError, JournalOptions};

use crate::support::{all, append_all, event, gate_is, options};

/// Tells the child where its small file system is; the scenarios do nothing without it.
const PLACE: &str = "SILICA_JOURNAL_TEST_SMALL_DISK";

#[test]
fn full_disk_closes_the_gate_and_loses_nothing() {
    on_a_small_disk("full_disk::scenario_calls_in_flight_settle");
}

#[test]
fn journal_opens_on_a_full_disk() {
    on_a_small_disk("full_disk::scenario_opening");
}

#[test]
fn closing_on_a_full_disk_says_what_could_not_be_committed() {
    on_a_small_disk("full_disk::scenario_closing");
}

#[test]
fn reserve_that_does_not_fit_leaves_the_room_to_calls_in_flight() {
    on_a_small_disk("full_disk::scenario_no_room_for_the_reserve");
}

/// Runs a scenario in a child with a mount namespace of its own and a tmpfs of 8 MiB in it.
fn on_a_small_disk(scenario: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=8m none "$0" && exec "$@""#;
    let available = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(folder.path())
        .arg("true")
        .output();
    match available {
        Ok(output) if output.status.success() => {}
        refused => {
            println!(
                "SKIPPED: THE FULL DISK WAS NOT TESTED, the kernel gives no small file system: {refused:?}"
            );
            return;
        }
    }
    let status = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", scenario, "--nocapture"])
        .env(PLACE, folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{scenario}: {status}");
}

struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn given() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(PLACE)?);
        Some(Self { folder })
    }

    fn options(&self) -> JournalOptions {
        JournalOptions {
            preallocate: 1 << 20,
            min_free: 1 << 20,
            ..options(&self.folder.join("journal.db"))
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes the last byte.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let mut size = 64 << 10;
        while size > 0 {
            match file.write(&vec![1; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(free(&self.folder), 0);
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

fn free(folder: &Path) -> u64 {
    let stat = rustix::fs::statvfs(folder).unwrap();
    stat.f_bavail * stat.f_frsize
}

#[tokio::test]
async fn scenario_calls_in_flight_settle() {
    let Some(disk) = SmallDisk::given() else { return };
    let journal = Journal::open(disk.options()).unwrap();
    assert_eq!(journal.gate(), Ok(()));
    let mut expected = append_all(&journal, 100).await;

    disk.fill();
    gate_is(&journal, Err(Closed::DiskFull)).await;
    // Those in flight: one after the other, which is what takes most space, and all at once.
    for amount in 0..100 {
        let event = event(amount);
        expected.push(event.clone());
        journal.append(event).await.unwrap();
    }
    expected.extend(append_all(&journal, 1000).await);
    assert_eq!(free(&disk.folder), 0, "the reserve was enough");

    // Far more than the reserve: they wait, and nothing is lost.
    let events: Vec<_> = (0..20_000).map(event).collect();
    let mut commits: Vec<_> = events.iter().map(|event| journal.append(event.clone())).collect();
    expected.extend(events);
    let mut last = commits.pop().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(1), &mut last).await;
    assert!(waited.is_err(), "the disk was not full after all: {waited:?}");
    assert_eq!(journal.gate(), Err(Closed::DiskFull));

    disk.free();
    for commit in commits {
        commit.await.unwrap();
    }
    last.await.unwrap();
    gate_is(&journal, Ok(())).await;
    assert!(all(&journal).await == expected, "each event once, in order");
    journal.close().await;
    let journal = Journal::open(disk.options()).unwrap();
    assert!(all(&journal).await == expected, "after reopening, too");
    journal.close().await;
}

#[tokio::test]
async fn scenario_opening() {
    let Some(disk) = SmallDisk::given() else { return };
    let journal = Journal::open(disk.options()).unwrap();
    let events = append_all(&journal, 500).await;
    journal.close().await;

    disk.fill();
    // Less than the reserve takes, enough for SQLite's own files.
    File::options()
        .write(true)
        .open(disk.ballast())
        .and_then(|file| file.set_len(file.metadata()?.len() - (256 << 10)))
        .unwrap();
    let journal = Journal::open(disk.options()).unwrap();
    assert_eq!(journal.gate(), Err(Closed::DiskFull));
    let entries = journal.unapplied(usize::MAX).await.unwrap();
    assert_eq!(entries.len(), events.len());
    journal.forget(entries[499].sequence);
    let later = append_all(&journal, 10).await;
    disk.free();
    gate_is(&journal, Ok(())).await;
    assert_eq!(all(&journal).await, later);
    journal.close().await;
}

#[tokio::test]
async fn scenario_closing() {
    let Some(disk) = SmallDisk::given() else { return };
    let journal = Journal::open(disk.options()).unwrap();
    disk.fill();
    let events: Vec<_> = (0..40_000).map(event).collect();
    let commits: Vec<_> = events.iter().map(|event| journal.append(event.clone())).collect();
    journal.close().await;
    let mut committed = 0;
    let mut refused = 0;
    for commit in commits {
        match commit.await {
            Ok(()) if refused == 0 => committed += 1,
            Err(JournalError::Closed) => refused += 1,
            other => panic!("{other:?} after {refused} refusals"),
        }
    }
    assert!(committed > 0 && refused > 0, "{committed} and {refused}");
    disk.free();
    let journal = Journal::open(disk.options()).unwrap();
    let found = all(&journal).await;
    // What was not told is there or not; what was told is.
    assert!(found.len() >= committed);
    assert!(found == events[..found.len()]);
    journal.close().await;
}

#[tokio::test]
async fn scenario_no_room_for_the_reserve() {
    let Some(disk) = SmallDisk::given() else { return };
    disk.fill();
    // The reserve takes 1 MiB twice, in the WAL and in the file.
    File::options()
        .write(true)
        .open(disk.ballast())
        .and_then(|file| file.set_len(file.metadata()?.len() - (1536 << 10)))
        .unwrap();
    let options = JournalOptions {
        min_free: 0,
        ..disk.options()
    };
    let journal = Journal::open(options).unwrap();
    assert_eq!(journal.gate(), Err(Closed::DiskFull));
    let events = append_all(&journal, 1000).await;
    disk.free();
    gate_is(&journal, Ok(())).await;
    assert!(all(&journal).await == events);
    journal.close().await;
}
