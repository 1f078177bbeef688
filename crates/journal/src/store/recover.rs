//! What stands in the WAL behind the end that SQLite finds in it.
//!
//! SQLite ends the WAL at the first frame whose checksum is wrong, without a word. That is right for
//! a transaction that was cut off, and silently loses all that came after when a frame was damaged,
//! or never reached the disk.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use silica_billing::UsageEvent;

use super::{Position, beside, sync_folder};
use crate::carve::Carved;
use crate::{Damage, Durability, JournalError, JournalOptions};

/// Takes the committed events that stand in the WAL beyond what SQLite believes of it, and returns
/// where the journal stands then.
///
/// With [`Durability::Process`] nothing orders what a power cut leaves of the WAL, and events that
/// are missing there are what this durability costs: the others are kept and the loss is logged.
///
/// # Errors
/// With [`Durability::Disk`] each group was on the disk before the next one was written, so missing
/// events are damage: [`JournalError::Corrupt`]. Nothing is changed then.
pub(super) fn recover(
    connection: &Connection,
    options: &JournalOptions,
    position: Position,
) -> Result<Position, JournalError> {
    let path = &options.path;
    let Carved { events, mark } = carve_wal(path)?;
    let behind: BTreeMap<_, _> = events
        .into_iter()
        .filter(|(sequence, _)| *sequence > position.last)
        .collect();
    let Some(highest) = behind.keys().next_back().copied() else {
        return Ok(position);
    };
    let missing = Missing::between(position.last, mark, &behind);
    match (missing.first_gap, options.durability) {
        (None, _) => {
            let behind: Vec<_> = behind.into_values().collect();
            append(connection, path, position, &behind)
        }
        (Some(gap), Durability::Disk) => Err(JournalError::corrupt(path, gap)),
        (Some(_), Durability::Process) => {
            let mark = mark.max(position.mark);
            let behind = behind.into_iter().filter(|(sequence, _)| *sequence > mark);
            let behind: Vec<_> = behind.map(|(_, event)| event).collect();
            close_gaps(connection, path, mark, highest, (behind, missing.lost))
        }
    }
}

/// Looks through the WAL, whatever SQLite thinks of it.
pub(super) fn carve_wal(path: &Path) -> Result<Carved, JournalError> {
    let wal = beside(path, "-wal");
    let mut carved = Carved::default();
    carved
        .add_wal(&wal)
        .map_err(|error| JournalError::file("read", &wal, error))?;
    Ok(carved)
}

/// Numbers that were given and are not there.
struct Missing {
    /// The first run of them, forgotten ones included: those are missing from the file as well.
    first_gap: Option<Damage>,
    /// How many the database does not have either.
    lost: u64,
}

impl Missing {
    /// `mark` is the newest that was found: events up to it are forgotten.
    fn between(last: u64, mark: u64, behind: &BTreeMap<u64, UsageEvent>) -> Self {
        let mut end = last;
        let mut first_gap = None;
        let mut lost = 0;
        for sequence in behind.keys().copied() {
            if sequence > end + 1 && first_gap.is_none() {
                first_gap = Some(Damage::Gap {
                    from: end + 1,
                    through: sequence - 1,
                });
            }
            lost += (sequence - 1).saturating_sub(end.max(mark));
            end = sequence;
        }
        Self { first_gap, lost }
    }
}

fn append(
    connection: &Connection,
    path: &Path,
    position: Position,
    events: &[UsageEvent],
) -> Result<Position, JournalError> {
    super::insert_all(connection, position, events)
        .map_err(|error| JournalError::sqlite("recover the end of", path, error))?;
    tracing::warn!(
        journal.path = %path.display(),
        journal.events = events.len(),
        "the write-ahead log of the usage journal is damaged; {} calls were recovered from behind the damage",
        events.len()
    );
    Ok(Position {
        last: position.last + events.len() as u64,
        ..position
    })
}

/// Gives all events that wait new numbers behind the highest one that was found, which becomes the
/// mark: what still stands in the WAL under the old numbers is forgotten then, so nothing is taken
/// twice, however often and whenever this is interrupted.
fn close_gaps(
    connection: &Connection,
    path: &Path,
    mark: u64,
    highest: u64,
    (behind, lost): (Vec<UsageEvent>, u64),
) -> Result<Position, JournalError> {
    let recovered = behind.len();
    let waiting = super::read(connection, path, mark, usize::MAX)?;
    let mut seen = HashSet::new();
    let events: Vec<_> = waiting
        .into_iter()
        .map(|(_, event)| event)
        .chain(behind)
        .filter(|event| seen.insert(event.id))
        .collect();
    // Before the first write, which goes over the damage.
    let copy = keep_wal(path)?;
    super::replace_all(connection, highest, &events)
        .map_err(|error| JournalError::sqlite("recover the end of", path, error))?;
    tracing::error!(
        journal.path = %path.display(),
        journal.lost = lost,
        journal.recovered = recovered,
        journal.copy = %copy.display(),
        "{lost} calls are known to be lost from the usage journal and will not be billed: its write-ahead \
         log has gaps, as after a power cut with journal.durability = \"process\"; {recovered} calls behind \
         the gaps were recovered, and a copy of the log is kept"
    );
    Ok(Position {
        last: highest + events.len() as u64,
        mark: highest,
    })
}

/// Copies the WAL to where a salvage would keep it, and waits until the disk has the copy.
fn keep_wal(path: &Path) -> Result<PathBuf, JournalError> {
    let copy = beside(&super::old_names(path)?.next, "-wal");
    // Copies the rights as well, and SQLite gives the WAL those of the file.
    fs::copy(beside(path, "-wal"), &copy)
        .and_then(|_| File::open(&copy)?.sync_all())
        .map_err(|error| JournalError::file("copy the write-ahead log to", &copy, error))?;
    sync_folder(path)?;
    Ok(copy)
}
