//! What lies on the disk, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;
use silica_journal::{Journal, JournalError, JournalOptions};

use crate::support::{Place, append_all, options};

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let journal = place.open();
    append_all(&journal, 1).await;
    let mut seen = 0;
    for file in fs::read_dir(place.path().parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
        seen += 1;
    }
    assert_eq!(seen, 4, "the file, its WAL, its index and the lock");
    journal.close().await;
}

#[tokio::test]
async fn second_opener_is_refused_until_the_first_has_closed() {
    let place = Place::new();
    let journal = place.open();
    let refused = Journal::open(options(&place.path())).unwrap_err();
    assert!(matches!(refused, JournalError::InUse { .. }), "{refused}");
    let refused = silica_journal::salvage(&place.path()).unwrap_err();
    assert!(matches!(refused, JournalError::InUse { .. }), "{refused}");
    journal.close().await;
    place.open().close().await;
}

#[tokio::test]
async fn preallocated_space_is_on_the_disk_from_the_start() {
    let place = Place::new();
    let options = || JournalOptions {
        preallocate: 2 << 20,
        ..options(&place.path())
    };
    for _ in 0..3 {
        let journal = Journal::open(options()).unwrap();
        for suffix in ["db", "db-wal"] {
            let metadata = fs::metadata(place.path().with_extension(suffix)).unwrap();
            assert!(metadata.len() >= 2 << 20, "{suffix}: {}", metadata.len());
            assert!(metadata.len() < 5 << 20, "{suffix} grows: {}", metadata.len());
        }
        append_all(&journal, 10).await;
        journal.close().await;
    }
}

#[test]
fn file_of_another_program_is_left_alone() {
    let place = Place::new();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    let before = fs::read(place.path()).unwrap();
    let refused = Journal::open(options(&place.path())).unwrap_err();
    assert!(matches!(refused, JournalError::NotAJournal { .. }), "{refused}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[tokio::test]
async fn format_of_a_newer_version_is_refused() {
    let (place, _) = Place::with_events(1).await;
    let connection = Connection::open(place.path()).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let refused = Journal::open(options(&place.path())).unwrap_err();
    assert!(
        matches!(
            refused,
            JournalError::NewerFormat {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn missing_folder_is_named() {
    let place = Place::new();
    let path = place.path().join("journal.db");
    let refused = Journal::open(options(&path)).unwrap_err();
    assert!(refused.to_string().contains("journal.db/journal.db"), "{refused}");
}
