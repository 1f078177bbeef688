//! Takes the events out of a damaged journal.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use silica_billing::UsageEvent;

use crate::carve::Carved;
use crate::store::{self, Lock, Position, beside};
use crate::{Durability, JournalError};

/// What a salvage did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// Events in the new file.
    pub kept: u64,
    /// Events that are missing between those that were found; damage at the end of the file may
    /// have taken more that nothing tells of.
    pub lost: u64,
    /// Where the damaged file lies now, with its WAL beside it.
    pub old_file: PathBuf,
}

/// Makes a new journal at `path` out of every event of the damaged one that can be read and whose
/// checksum is right. The damaged file is kept beside it. Blocks.
///
/// May be run again when it was interrupted.
///
/// # Errors
/// [`JournalError::InUse`] while a process has the journal open; errors of files, that name them.
pub fn salvage(path: &Path) -> Result<Salvaged, JournalError> {
    let _lock = Lock::take(path)?;
    let new = beside(path, ".salvaged");
    let is_there = store::exists(path)?;
    if !is_there && store::exists(&new)? {
        return finish_interrupted(path, &new);
    }
    if !is_there && !store::exists(&beside(path, "-wal"))? {
        return Err(JournalError::file("read", path, io::ErrorKind::NotFound.into()));
    }
    let found = Found::in_files(path)?;
    write(&new, &found)?;
    let old_file = store::old_names(path)?.next;
    replace(path, &new, &old_file)?;
    Ok(Salvaged {
        kept: found.events.len() as u64,
        lost: found.lost,
        old_file,
    })
}

/// The new file was whole before the old one was moved, so only the moves are left to do.
fn finish_interrupted(path: &Path, new: &Path) -> Result<Salvaged, JournalError> {
    let names = store::old_names(path)?;
    let old_file = names.last.unwrap_or(names.next);
    let read = |error| JournalError::sqlite("read", new, error);
    let connection = store::connect(new, Durability::Disk).map_err(read)?;
    let kept: i64 = connection
        .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
        .map_err(read)?;
    drop(connection);
    replace(path, new, &old_file)?;
    Ok(Salvaged {
        kept: kept.cast_unsigned(),
        lost: 0,
        old_file,
    })
}

/// What a damaged journal still has.
struct Found {
    /// In the order of their numbers, each once.
    events: Vec<UsageEvent>,
    /// Events up to this number are forgotten.
    mark: u64,
    lost: u64,
}

impl Found {
    fn in_files(path: &Path) -> Result<Self, JournalError> {
        let mut carved = Carved::default();
        carved
            .add_database(path)
            .map_err(|error| JournalError::file("read", path, error))?;
        let wal = beside(path, "-wal");
        carved
            .add_wal(&wal)
            .map_err(|error| JournalError::file("read", &wal, error))?;
        let Carved { mut events, mut mark } = carved;
        // What fails here is damaged; what stands in whole rows was carved.
        if let Ok(connection) = connect_damaged(path) {
            mark = mark.max(store::read_mark(&connection, path).unwrap_or(0));
            for order in ["ASC", "DESC"] {
                let _damaged = read_until_damage(&connection, order, &mut events);
            }
        }
        Ok(Self::sort(events, mark))
    }

    fn sort(events: Vec<(u64, UsageEvent)>, mark: u64) -> Self {
        let by_number: BTreeMap<u64, UsageEvent> = events
            .into_iter()
            .filter(|(sequence, _)| *sequence > mark)
            .collect();
        // Numbers are given without gaps from the mark on.
        let span = by_number.keys().next_back().map_or(0, |last| last - mark);
        let mut seen = HashSet::new();
        let lost = span - by_number.len() as u64;
        let events = by_number
            .into_values()
            .filter(|event| seen.insert(event.id))
            .collect();
        Self { events, mark, lost }
    }
}

/// Opens the damaged file so that nothing is written to it, at the end neither.
fn connect_damaged(path: &Path) -> rusqlite::Result<Connection> {
    let connection = store::connect(path, Durability::Disk)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Reads from one end up to the first page that cannot be read.
fn read_until_damage(
    connection: &Connection,
    order: &'static str,
    events: &mut Vec<(u64, UsageEvent)>,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT sequence, body FROM events ORDER BY sequence {order}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let sequence: i64 = row.get(0)?;
        if let Ok(event) = store::decode(sequence, row.get_ref(1)?) {
            events.push((sequence.cast_unsigned(), event));
        }
    }
    Ok(())
}

/// Writes a journal without gaps, and waits until the disk has it.
fn write(new: &Path, found: &Found) -> Result<(), JournalError> {
    for suffix in ["", "-wal", "-shm"] {
        remove(&beside(new, suffix))?;
    }
    store::create_private(new)?;
    let failed = |error| JournalError::sqlite("write", new, error);
    let connection = store::connect(new, Durability::Disk).map_err(failed)?;
    let position = Position {
        last: found.mark,
        mark: found.mark,
    };
    store::create_schema(&connection, found.mark).map_err(failed)?;
    store::insert_all(&connection, position, &found.events).map_err(failed)?;
    // Out of WAL mode: that moves everything into the file, and says so when it cannot.
    connection
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    File::open(new)
        .and_then(|file| file.sync_all())
        .map_err(|error| JournalError::file("write", new, error))
}

/// Moves the damaged file away, its WAL after it, and the new one to its place. In this order a
/// crash in between is noticed by [`crate::Journal::open`], and a second salvage goes on.
fn replace(path: &Path, new: &Path, old_file: &Path) -> Result<(), JournalError> {
    rename(path, old_file)?;
    rename(&beside(path, "-wal"), &beside(old_file, "-wal"))?;
    remove(&beside(path, "-shm"))?;
    rename(new, path)?;
    store::sync_folder(path)
}

/// Moves a file, when it is there.
fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JournalError::file("move", from, error)),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::file("remove", path, error))
        }
        _ => Ok(()),
    }
}
