//! A damaged usage journal: the server does not start over it, and says how to go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use silica_testkit::{ServerBuilder, Stopped, Upstream, database};

use crate::support::bare;
use crate::till::{PAID, booked, complete, complete_many, customer, open_shop};

/// The call that is hit by the damage; its trace id stands in its event.
const HIT: &str = "waiting-5";

/// Where the event stands: SQLite leaves old copies behind, so in more places than one.
fn places(bytes: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(HIT.len()).enumerate();
    let places = windows.filter(|(_, window)| *window == HIT.as_bytes());
    places.map(|(place, _)| place).collect()
}

fn damage(journal: &Path, damage: impl Fn(&mut [u8], usize)) {
    let mut bytes = fs::read(journal).unwrap();
    let places = places(&bytes);
    assert!(!places.is_empty(), "the call is in the journal");
    for place in places {
        damage(&mut bytes, place);
    }
    fs::write(journal, bytes).unwrap();
}

/// Flips a bit of the event.
fn damage_event(journal: &Path) {
    damage(journal, |bytes, place| bytes[place] ^= 0x10);
}

/// Makes its page unreadable for SQLite.
fn damage_page(journal: &Path) {
    damage(journal, |bytes, place| {
        // The head of an SQLite file tells the size of its pages.
        let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        bytes[place / page * page..][..8].fill(0xa5);
    });
}

/// Starts, expects a refusal that leaves the journal as it is, and returns its text.
async fn refused(builder: ServerBuilder, journal: &Path) -> (String, Stopped) {
    let before = fs::read(journal).unwrap();
    let refused = builder.refused().await;
    assert!(!refused.status.success());
    for part in [
        &*journal.display().to_string(),
        "is damaged",
        "silica journal salvage",
    ] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    assert!(
        fs::read(journal).unwrap() == before,
        "a refused start changes nothing"
    );
    (refused.stderr, refused.data)
}

fn salvage(arguments: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_silica"))
        .args(arguments)
        .output()
        .unwrap()
}

/// The command that the text tells to run, as a person would copy it.
fn told_command(text: &str) -> Vec<String> {
    let command = text.split('`').find(|part| part.starts_with("silica journal"));
    let command = command.unwrap_or_else(|| panic!("no command in: {text}"));
    command.split(' ').skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_what_is_readable_is_saved() {
    let database = database::sqlite().await;
    let on_it = || bare().environment("SILICA__DATABASE__URL", database.url_text());
    let upstream = Upstream::start().await;
    let server = on_it().start().await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "damage", "100").await;
    let mut markers = complete_many(&server, &who.key, PAID, "before", 4).await;
    booked(&server, &who, &markers).await;

    // Nobody can book, so the calls of this time are in the journal when the server has ended.
    let held = database.hold_ledger().await;
    // One after the other: what is lost at the end of a journal nobody can tell.
    let waiting: Vec<String> = (0..12).map(|number| format!("waiting-{number}")).collect();
    for marker in &waiting {
        complete(&server, &who.key, PAID, marker, false).await;
    }
    let journal: PathBuf = server.data().join("journal/usage.db");
    let arguments = ["journal", "salvage", journal.to_str().unwrap()].map(str::to_owned);
    let running = salvage(&arguments);
    assert!(!running.status.success(), "{running:?}");
    assert!(
        String::from_utf8_lossy(&running.stderr).contains("is in use"),
        "{running:?}"
    );
    let stopped = server.stop().await;
    held.release().await;

    let whole = fs::read(&journal).unwrap();
    damage_page(&journal);
    let (_, stopped) = refused(on_it().data_of(stopped), &journal).await;
    fs::write(&journal, whole).unwrap();
    damage_event(&journal);
    let (reason, stopped) = refused(on_it().data_of(stopped), &journal).await;

    let salvage = salvage(&told_command(&reason));
    let told = String::from_utf8_lossy(&salvage.stdout).into_owned();
    assert!(salvage.status.success(), "{told} {salvage:?}");
    assert!(
        told.contains(&format!("{} settled calls are saved", waiting.len() - 1)),
        "{told}"
    );
    assert!(told.contains("1 could not be read"), "{told}");

    let server = on_it().data_of(stopped).start().await;
    let saved = crate::till::ledger(&server, &who).await;
    let is_saved = |marker: &String| saved.iter().any(|row| row["trace_id"] == **marker);
    let lost: Vec<&String> = waiting.iter().filter(|marker| !is_saved(marker)).collect();
    assert_eq!(lost, [HIT], "all but the damaged one");
    markers.extend(waiting.into_iter().filter(is_saved));
    markers.extend(complete_many(&server, &who.key, PAID, "after", 4).await);
    booked(&server, &who, &markers).await;
    server.stop().await;
}
