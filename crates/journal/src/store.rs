//! The journal's file: schema, opening, checking, and every statement.

mod files;
mod open;
mod recover;

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use silica_billing::UsageEvent;

pub(crate) use files::{Lock, beside, create_private, free_bytes, old_names, set_private, sync_folder};
pub(crate) use open::{create_schema, exists, open, read_mark};

use crate::queue::Pending;
use crate::row::{self, BadRow};
use crate::{Durability, JournalError, Sequence};

/// Marks the file as ours: `SILJ`.
pub(crate) const APPLICATION_ID: i64 = 0x5349_4C4A;
/// The newest form of the file that this version reads.
pub(crate) const FORMAT: i64 = 1;
/// The size of the pages of a new file. A commit writes whole pages, so small ones are quicker for a
/// single caller; large ones are no dearer for many, and hold longer rows whole (see `carve`).
pub(crate) const PAGE_SIZE: u64 = 8192;

/// How long a program that reads along may lock the file. Our own writers wait for each other elsewhere.
const FOREIGN_LOCK_PATIENCE: Duration = Duration::from_secs(1);

const INSERT: &str = "INSERT INTO events (sequence, body) VALUES (?1, ?2)";
const FORGET: &str = "DELETE FROM events WHERE sequence <= ?1";
const MARK: &str = "UPDATE mark SET body = ?1";
const UNAPPLIED: &str = "SELECT sequence, body FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";

/// Opens one connection to a file that exists.
pub(crate) fn connect(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    // Not SQLITE_OPEN_URI: a path that begins with `file:` is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(FOREIGN_LOCK_PATIENCE)?;
    connection.pragma_update(None, "synchronous", synchronous(durability))?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    Ok(connection)
}

/// NORMAL, not OFF: no `fsync` per commit either, and a power cut costs the last events, not the file.
const fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => "NORMAL",
        Durability::Disk => "FULL",
    }
}

/// Where the journal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The highest number that was ever given; the next event gets the one after.
    pub(crate) last: u64,
    /// Events up to this number are forgotten.
    pub(crate) mark: u64,
}

/// Commits `events` under the next numbers, and forgets, all or nothing.
/// Returns how many events it forgot.
pub(crate) fn commit(
    connection: &Connection,
    position: Position,
    events: &[Pending],
    forget: Option<u64>,
    buffer: &mut Vec<u8>,
) -> rusqlite::Result<u64> {
    let Position { last, mark } = position;
    // A single insert is its own transaction and saves two statements.
    if let ([pending], None) = (events, forget) {
        insert(connection, (last + 1, mark), &pending.event, buffer)?;
        return Ok(0);
    }
    execute(connection, "BEGIN IMMEDIATE")?;
    let result = (|| {
        for (sequence, pending) in (last + 1..).zip(events) {
            insert(connection, (sequence, mark), &pending.event, buffer)?;
        }
        let forgotten = match forget {
            None => 0,
            Some(through) => forget_through(connection, through)?,
        };
        execute(connection, "COMMIT")?;
        Ok(forgotten)
    })();
    // Some errors have rolled back already; then there is nothing left to roll back.
    if result.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    result
}

fn insert(
    connection: &Connection,
    (sequence, mark): (u64, u64),
    event: &UsageEvent,
    buffer: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    row::encode(sequence, mark, event, buffer);
    connection
        .prepare_cached(INSERT)?
        .execute((sequence.cast_signed(), &buffer[..]))?;
    Ok(())
}

/// Commits events under the next numbers, outside of the writer.
pub(crate) fn insert_all(
    connection: &Connection,
    position: Position,
    events: &[UsageEvent],
) -> rusqlite::Result<()> {
    execute(connection, "BEGIN IMMEDIATE")?;
    finish(connection, insert_each(connection, position, events))
}

/// Forgets everything up to `mark`, and commits `events` under the numbers after it.
pub(crate) fn replace_all(connection: &Connection, mark: u64, events: &[UsageEvent]) -> rusqlite::Result<()> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let replaced = forget_through(connection, mark)
        .and_then(|_| insert_each(connection, Position { last: mark, mark }, events));
    finish(connection, replaced)
}

fn insert_each(connection: &Connection, position: Position, events: &[UsageEvent]) -> rusqlite::Result<()> {
    let Position { last, mark } = position;
    let mut buffer = Vec::new();
    (last + 1..)
        .zip(events)
        .try_for_each(|(sequence, event)| insert(connection, (sequence, mark), event, &mut buffer))
}

/// Ends a transaction.
fn finish(connection: &Connection, result: rusqlite::Result<()>) -> rusqlite::Result<()> {
    let result = result.and_then(|()| execute(connection, "COMMIT"));
    if result.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    result
}

fn forget_through(connection: &Connection, through: u64) -> rusqlite::Result<u64> {
    let forgotten = connection
        .prepare_cached(FORGET)?
        .execute([through.cast_signed()])?;
    set_mark(connection, through)?;
    Ok(forgotten as u64)
}

/// Notes that no event up to `through` is needed any more.
pub(crate) fn set_mark(connection: &Connection, through: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(MARK)?
        .execute([&row::encode_mark(through)[..]])?;
    Ok(())
}

pub(crate) fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// Reads the oldest events after `after`, `limit` at most.
pub(crate) fn read(
    connection: &Connection,
    path: &Path,
    after: u64,
    limit: usize,
) -> Result<Vec<(Sequence, UsageEvent)>, JournalError> {
    let failed = |error| JournalError::sqlite("read", path, error);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(UNAPPLIED).map_err(failed)?;
    let mut rows = statement.query((after.cast_signed(), limit)).map_err(failed)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let sequence: i64 = row.get(0).map_err(failed)?;
        let event = decode(sequence, row.get_ref(1).map_err(failed)?)
            .map_err(|source| JournalError::corrupt(path, crate::Damage::Row { sequence, source }))?;
        events.push((Sequence(sequence.cast_unsigned()), event));
    }
    Ok(events)
}

/// Decodes the body that stands under `sequence`.
pub(crate) fn decode(sequence: i64, body: ValueRef<'_>) -> Result<UsageEvent, BadRow> {
    let ValueRef::Blob(bytes) = body else {
        return Err(BadRow::Frame);
    };
    row::decode(u64::try_from(sequence).map_err(|_| BadRow::Frame)?, bytes)
}

/// Bytes that events and schema take, and bytes of the file that are free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) used: u64,
    pub(crate) free: u64,
}

pub(crate) fn room(connection: &Connection) -> rusqlite::Result<Room> {
    let pragma = |name: &str| -> rusqlite::Result<u64> {
        let number: i64 = connection.prepare_cached(name)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(number).unwrap_or(0))
    };
    let page_size = pragma("PRAGMA page_size")?;
    let free = pragma("PRAGMA freelist_count")?;
    Ok(Room {
        used: pragma("PRAGMA page_count")?.saturating_sub(free) * page_size,
        free: free * page_size,
    })
}
