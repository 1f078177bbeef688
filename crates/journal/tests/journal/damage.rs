//! Damaged files: noticed, refused with the way out, and left as they are.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use silica_billing::{BucketKind, BucketPart, UsageEvent};
use silica_journal::{Damage, Journal, JournalError, salvage};

use crate::support::{Place, all, append_all, event, options};

pub(crate) const PAGE: usize = 8192;

/// Overwrites a page; the first is number 0.
pub(crate) fn overwrite_page(path: &Path, page: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[page * PAGE..(page + 1) * PAGE].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

pub(crate) fn damage_of(error: JournalError) -> Damage {
    match error {
        JournalError::Corrupt { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

/// Rows that a page holds: 41 were the most seen, which is 200 bytes a row, and two are allowed beside.
const MOST_ROWS: u64 = 43;

#[tokio::test]
async fn corrupt_page_is_refused_with_the_way_to_recover() {
    let (place, events) = Place::with_events(500).await;
    let pages = fs::read(place.path()).unwrap().len() / PAGE;
    overwrite_page(&place.path(), pages / 2);
    let before = fs::read(place.path()).unwrap();

    let refused = Journal::open(options(&place.path())).unwrap_err();
    let text = refused.to_string();
    let path = place.path();
    assert!(
        text.contains(&format!("silica journal salvage {}", path.display())),
        "{text}"
    );
    assert!(text.contains("is damaged"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before, "nothing was changed");

    let salvaged = salvage(&path).unwrap();
    assert_eq!(salvaged.kept + salvaged.lost, 500);
    assert!((1..=MOST_ROWS).contains(&salvaged.lost), "{salvaged:?}");
    assert_eq!(
        fs::read(&salvaged.old_file).unwrap(),
        before,
        "the damaged file is kept"
    );
    let journal = place.open();
    let found = all(&journal).await;
    assert_eq!(found.len() as u64, salvaged.kept);
    let mut rest = events.iter();
    assert!(
        found.iter().all(|event| rest.any(|other| other == event)),
        "in order"
    );
    append_all(&journal, 3).await;
    journal.close().await;
}

#[tokio::test]
async fn damage_of_any_one_page_costs_the_rows_of_that_page_at_most() {
    let (place, events) = Place::with_events(200).await;
    let whole = fs::read(place.path()).unwrap();
    for page in 0..whole.len() / PAGE {
        let damaged = Place::new();
        fs::write(damaged.path(), &whole).unwrap();
        overwrite_page(&damaged.path(), page);
        match Journal::open(options(&damaged.path())) {
            // A page of the reserve, or one that is free.
            Ok(journal) => {
                assert_eq!(all(&journal).await, events, "page {page}");
                journal.close().await;
            }
            Err(error) => {
                damage_of(error);
                let salvaged = salvage(&damaged.path()).unwrap();
                assert!(salvaged.kept >= 200 - MOST_ROWS, "page {page}: {salvaged:?}");
                let journal = damaged.open();
                assert_eq!(journal.backlog(), salvaged.kept, "page {page}");
                journal.close().await;
            }
        }
    }
}

#[tokio::test]
async fn flipped_bit_in_a_row_is_found_and_costs_that_row() {
    let (place, events) = Place::with_events(50).await;
    let mut bytes = fs::read(place.path()).unwrap();
    // In the second page: of the first one an old copy is left over, and a salvage finds it.
    let trace = events[45].trace.as_str().as_bytes();
    let at = bytes
        .windows(trace.len())
        .position(|window| window == trace)
        .unwrap();
    bytes[at + 5] ^= 1;
    fs::write(place.path(), bytes).unwrap();

    let damage = damage_of(Journal::open(options(&place.path())).unwrap_err());
    assert!(matches!(damage, Damage::Row { sequence: 46, .. }), "{damage}");
    let salvaged = salvage(&place.path()).unwrap();
    assert_eq!((salvaged.kept, salvaged.lost), (49, 1));
    let journal = place.open();
    let expected: Vec<_> = events
        .iter()
        .filter(|event| **event != events[45])
        .cloned()
        .collect();
    assert_eq!(all(&journal).await, expected);
    journal.close().await;
}

#[tokio::test]
async fn row_under_another_number_is_found() {
    let (place, _) = Place::with_events(5).await;
    let connection = Connection::open(place.path()).unwrap();
    connection
        .execute_batch(
            "UPDATE events SET body = (SELECT body FROM events WHERE sequence = 4) WHERE sequence = 3",
        )
        .unwrap();
    drop(connection);
    let damage = damage_of(Journal::open(options(&place.path())).unwrap_err());
    assert!(matches!(damage, Damage::Row { sequence: 3, .. }), "{damage}");
}

#[tokio::test]
async fn missing_rows_are_found() {
    let (place, _) = Place::with_events(10).await;
    let connection = Connection::open(place.path()).unwrap();
    connection
        .execute_batch("DELETE FROM events WHERE sequence IN (4, 5)")
        .unwrap();
    drop(connection);
    let damage = damage_of(Journal::open(options(&place.path())).unwrap_err());
    assert!(matches!(damage, Damage::Gap { from: 4, through: 5 }), "{damage}");
}

/// A journal with events that were committed one by one, as a kill would leave it.
pub(crate) async fn killed_with_events(count: u64) -> (Place, Vec<UsageEvent>) {
    let running = Place::new();
    let journal = running.open();
    let mut events = Vec::new();
    for _ in 0..count {
        events.extend(append_all(&journal, 1).await);
    }
    let killed = as_if_killed(&running);
    journal.close().await;
    (killed, events)
}

/// Copies the files of an open journal.
pub(crate) fn as_if_killed(running: &Place) -> Place {
    let killed = Place::new();
    for suffix in ["db", "db-wal"] {
        fs::copy(
            running.path().with_extension(suffix),
            killed.path().with_extension(suffix),
        )
        .unwrap();
    }
    killed
}

#[tokio::test]
async fn damaged_frame_of_the_wal_loses_nothing_that_later_frames_hold() {
    let (place, events) = killed_with_events(100).await;
    let wal = place.path().with_extension("db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let frames = (bytes.len() - 32) / (PAGE + 24);
    // SQLite ends there, and says nothing.
    let at = 32 + frames / 2 * (PAGE + 24) + 24 + PAGE / 2;
    bytes[at..at + 16].fill(0xA5);
    fs::write(&wal, bytes).unwrap();
    let journal = place.open();
    assert!(all(&journal).await == events, "{} of 100", journal.backlog());
    journal.close().await;
}

#[tokio::test]
async fn damaged_head_of_the_wal_loses_nothing() {
    let (place, events) = killed_with_events(100).await;
    let wal = place.path().with_extension("db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    // SQLite takes the whole file for empty.
    bytes[20] ^= 1;
    fs::write(&wal, bytes).unwrap();
    let journal = place.open();
    assert!(all(&journal).await == events, "{} of 100", journal.backlog());
    journal.close().await;
}

#[tokio::test]
async fn end_of_the_wal_that_was_not_committed_is_ignored() {
    let (place, events) = killed_with_events(20).await;
    let wal = place.path().with_extension("db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    // The last frame no longer says that a transaction ends with it.
    let last = bytes.len() - (PAGE + 24);
    bytes[last + 4..last + 8].fill(0);
    fs::write(&wal, bytes).unwrap();
    let journal = place.open();
    assert!(all(&journal).await == events[..19], "{} of 20", journal.backlog());
    append_all(&journal, 1).await;
    journal.close().await;
}

#[tokio::test]
async fn wal_without_its_file_is_refused_and_salvaged() {
    let (place, events) = killed_with_events(100).await;
    fs::remove_file(place.path()).unwrap();
    let damage = damage_of(Journal::open(options(&place.path())).unwrap_err());
    assert!(matches!(damage, Damage::MissingFile), "{damage}");
    let salvaged = salvage(&place.path()).unwrap();
    assert_eq!((salvaged.kept, salvaged.lost), (100, 0));
    let journal = place.open();
    assert!(all(&journal).await == events);
    journal.close().await;
}

#[tokio::test]
async fn calls_paid_from_many_vouchers_are_found_without_the_tree() {
    let place = Place::new();
    let journal = place.open();
    let mut events = Vec::new();
    for amount in 1..=30 {
        let mut event = event(amount);
        let part = BucketPart {
            kind: BucketKind::Voucher,
            ..event.parts[0].clone()
        };
        event.parts = vec![part; 300];
        journal.append(event.clone()).await.unwrap();
        events.push(event);
    }
    journal.close().await;
    // Where the table begins.
    overwrite_page(&place.path(), 1);
    damage_of(Journal::open(options(&place.path())).unwrap_err());
    let salvaged = salvage(&place.path()).unwrap();
    assert_eq!((salvaged.kept, salvaged.lost), (30, 0));
    let journal = place.open();
    assert!(all(&journal).await == events);
    journal.close().await;
}

/// Versions before had pages of 2 KiB.
#[tokio::test]
async fn damaged_wal_of_a_file_with_smaller_pages_is_recovered() {
    let running = Place::new();
    let connection = Connection::open(running.path()).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 2048; PRAGMA journal_mode = WAL; CREATE TABLE t (x); DROP TABLE t; VACUUM",
        )
        .unwrap();
    drop(connection);
    let journal = running.open();
    let mut events = Vec::new();
    for _ in 0..100 {
        events.extend(append_all(&journal, 1).await);
    }
    let place = as_if_killed(&running);
    journal.close().await;
    let size: i64 = Connection::open(running.path())
        .unwrap()
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .unwrap();
    assert_eq!(size, 2048);
    let wal = place.path().with_extension("db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let at = 32 + 50 * (2048 + 24) + 24 + 1024;
    bytes[at..at + 16].fill(0xA5);
    fs::write(&wal, bytes).unwrap();
    let journal = place.open();
    assert!(all(&journal).await == events, "{} of 100", journal.backlog());
    journal.close().await;
}
