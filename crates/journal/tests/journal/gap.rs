//! Gaps in the WAL: what a power cut leaves when nothing orders how pages get to the disk.

use std::fs;
use std::ops::Range;

use silica_journal::{Damage, Durability, Journal, JournalOptions, salvage};

use crate::damage::{PAGE, as_if_killed, damage_of, killed_with_events, overwrite_page};
use crate::support::{Log, Place, all, append_all, options, until};

/// What a power cut leaves when the disk never got some of the pages of the WAL.
fn zero_frames(place: &Place, frames: Range<usize>) -> Vec<u8> {
    let wal = place.path().with_extension("db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[32 + frames.start * (PAGE + 24)..32 + frames.end * (PAGE + 24)].fill(0);
    fs::write(&wal, &bytes).unwrap();
    bytes
}

fn frames_of(place: &Place) -> usize {
    let wal = place.path().with_extension("db-wal");
    (usize::try_from(fs::metadata(wal).unwrap().len()).unwrap() - 32) / (PAGE + 24)
}

#[tokio::test]
async fn gap_in_the_wal_after_a_power_cut_costs_what_is_missing_and_not_the_start() {
    let (place, events) = killed_with_events(150).await;
    let middle = frames_of(&place) / 2;
    let left = zero_frames(&place, middle..middle + 60);
    let log = Log::of_this_process();

    let journal = place.open();
    let found = all(&journal).await;
    let lost = 150 - found.len();
    assert!((5..=60).contains(&lost), "{lost}");
    let gap = events.iter().position(|event| !found.contains(event)).unwrap();
    assert!(
        found[..gap] == events[..gap] && found[gap..] == events[gap + lost..],
        "all the others, in order"
    );
    let lines = log.lines_with(&place.path().display().to_string());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR") && lines[0].contains(&format!("{lost} calls are known to be lost")));
    let copy = place.path().with_extension("db.damaged-1-wal");
    assert_eq!(fs::read(copy).unwrap(), left, "the log is kept as it was");

    // Killed right after, and once more after another event: each event once.
    let killed = as_if_killed(&place);
    let again = killed.open();
    assert!(all(&again).await == found);
    again.close().await;
    let mut expected = found;
    expected.extend(append_all(&journal, 1).await);
    let killed = as_if_killed(&place);
    let salvaged = as_if_killed(&place);
    let again = killed.open();
    assert!(all(&again).await == expected);
    again.close().await;
    let kept = salvage(&salvaged.path()).unwrap();
    assert_eq!((kept.kept, kept.lost), (expected.len() as u64, 0));
    assert_eq!(log.lines_with(&place.path().display().to_string()).len(), 1);
    journal.close().await;
    let journal = place.open();
    assert!(all(&journal).await == expected);
    journal.close().await;
}

#[tokio::test]
async fn what_was_forgotten_behind_a_gap_is_neither_lost_nor_taken_again() {
    let running = Place::new();
    let journal = running.open();
    append_all(&journal, 1).await;
    let begin = frames_of(&running);
    for _ in 0..59 {
        append_all(&journal, 1).await;
    }
    let middle = frames_of(&running);
    let entries = journal.unapplied(70).await.unwrap();
    journal.forget(entries[59].sequence);
    until(|| journal.backlog() == 0).await;
    let mut later = Vec::new();
    for _ in 0..10 {
        later.extend(append_all(&journal, 1).await);
    }
    let place = as_if_killed(&running);
    journal.close().await;
    zero_frames(&place, begin..middle);
    let log = Log::of_this_process();
    let journal = place.open();
    assert!(all(&journal).await == later, "{}", journal.backlog());
    let lines = log.lines_with(&place.path().display().to_string());
    assert!(
        lines
            .iter()
            .all(|line| line.contains(" 0 calls are known to be lost")),
        "{lines:?}"
    );
    journal.close().await;
}

#[tokio::test]
async fn gap_in_the_wal_is_damage_when_each_group_was_synced() {
    let (place, _) = killed_with_events(150).await;
    let middle = frames_of(&place) / 2;
    let left = zero_frames(&place, middle..middle + 60);
    let refused = Journal::open(JournalOptions {
        durability: Durability::Disk,
        ..options(&place.path())
    });
    let damage = damage_of(refused.unwrap_err());
    assert!(matches!(damage, Damage::Gap { .. }), "{damage}");
    let wal = place.path().with_extension("db-wal");
    assert_eq!(fs::read(wal).unwrap(), left, "nothing was changed");
    let salvaged = salvage(&place.path()).unwrap();
    assert_eq!(salvaged.kept + salvaged.lost, 150);
    assert!((5..=60).contains(&salvaged.lost), "{salvaged:?}");
}

#[tokio::test]
async fn damaged_page_of_the_file_is_refused_with_a_gap_in_the_wal_as_well() {
    let (whole, _) = Place::with_events(100).await;
    let running = whole.open();
    for _ in 0..100 {
        append_all(&running, 1).await;
    }
    let place = as_if_killed(&whole);
    running.close().await;
    overwrite_page(&place.path(), 5);
    let middle = frames_of(&place) / 2;
    zero_frames(&place, middle..middle + 40);
    damage_of(Journal::open(options(&place.path())).unwrap_err());
}
