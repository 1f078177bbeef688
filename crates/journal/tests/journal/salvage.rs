//! What a salvage must not do, and one that is interrupted.

use std::fs;

use silica_journal::{Journal, JournalError, salvage};

use crate::damage::overwrite_page;
use crate::support::{Place, all, append_all, options, until};

#[tokio::test]
async fn salvage_of_a_whole_journal_keeps_everything() {
    let (place, events) = Place::with_events(300).await;
    let salvaged = salvage(&place.path()).unwrap();
    assert_eq!((salvaged.kept, salvaged.lost), (300, 0));
    let journal = place.open();
    assert_eq!(all(&journal).await, events);
    append_all(&journal, 1).await;
    let wal = place.path().with_extension("db-wal");
    assert!(
        fs::metadata(wal).unwrap().len() > 0,
        "the new file is used like any other"
    );
    journal.close().await;
}

#[tokio::test]
async fn forgotten_events_do_not_come_back() {
    let place = Place::new();
    let journal = place.open();
    let events = append_all(&journal, 300).await;
    let entries = journal.unapplied(290).await.unwrap();
    journal.forget(entries[289].sequence);
    until(|| journal.backlog() == 10).await;
    journal.close().await;
    let bytes = fs::read(place.path()).unwrap();
    let still_stand = events[..290].iter().filter(|event| {
        let trace = event.trace.as_str().as_bytes();
        bytes.windows(trace.len()).any(|window| window == trace)
    });
    assert!(
        still_stand.count() > 100,
        "rows are deleted, and their bytes are still there"
    );

    let salvaged = salvage(&place.path()).unwrap();
    assert_eq!((salvaged.kept, salvaged.lost), (10, 0));
    let journal = place.open();
    assert_eq!(all(&journal).await, events[290..]);
    journal.close().await;
}

#[tokio::test]
async fn each_salvage_keeps_its_damaged_file() {
    let (place, _) = Place::with_events(300).await;
    overwrite_page(&place.path(), 10);
    let first = salvage(&place.path()).unwrap();
    overwrite_page(&place.path(), 10);
    let second = salvage(&place.path()).unwrap();
    assert_ne!(first.old_file, second.old_file);
    assert!(first.old_file.exists() && second.old_file.exists());
    assert!(second.kept < first.kept);
}

#[tokio::test]
async fn interrupted_salvage_is_noticed_and_finished() {
    let (place, events) = Place::with_events(100).await;
    let path = place.path();
    salvage(&path).unwrap();
    // As if it had ended between the two moves.
    fs::rename(&path, path.with_extension("db.salvaged")).unwrap();
    let refused = Journal::open(options(&path)).unwrap_err();
    assert!(
        matches!(refused, JournalError::SalvageUnfinished { .. }),
        "{refused}"
    );

    let salvaged = salvage(&path).unwrap();
    assert_eq!(salvaged.kept, 100);
    assert!(salvaged.old_file.exists());
    let journal = place.open();
    assert_eq!(all(&journal).await, events);
    journal.close().await;
}

#[tokio::test]
async fn salvage_begins_anew_when_the_new_file_was_not_whole() {
    let (place, events) = Place::with_events(100).await;
    fs::write(place.path().with_extension("db.salvaged"), "half").unwrap();
    let refused = Journal::open(options(&place.path())).unwrap_err();
    assert!(
        matches!(refused, JournalError::SalvageUnfinished { .. }),
        "{refused}"
    );
    salvage(&place.path()).unwrap();
    let journal = place.open();
    assert_eq!(all(&journal).await, events);
    journal.close().await;
}

#[test]
fn salvage_of_nothing_says_so() {
    let place = Place::new();
    let refused = salvage(&place.path()).unwrap_err();
    assert!(matches!(refused, JournalError::File { .. }), "{refused}");
    assert!(!place.path().exists());
}
