//! Opening the journal's file: nothing is written to a file that is not whole.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::recover::{carve_wal, recover};
use super::{
    APPLICATION_ID, FORMAT, Lock, PAGE_SIZE, Position, beside, connect, create_private, decode, set_private,
};
use crate::reserve::{Checkpoint, checkpoint};
use crate::{Damage, JournalError, JournalOptions, row};

/// An open journal that was found whole.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) lock: Lock,
    pub(crate) connection: Connection,
    /// Events that wait.
    pub(crate) waiting: u64,
    pub(crate) position: Position,
}

/// Opens the file, creates it when it is new, and checks every page and row of it.
///
/// # Errors
/// [`JournalError::Corrupt`] for a damaged page or row, and for rows that are missing before the end
/// that SQLite finds. What is missing behind that is damage with [`crate::Durability::Disk`] only.
pub(crate) fn open(options: &JournalOptions) -> Result<Store, JournalError> {
    let path = &options.path;
    let lock = Lock::take(path)?;
    check_files(path)?;
    create_private(path)?;
    set_private(path)?;
    let connection =
        connect(path, options.durability).map_err(|error| JournalError::sqlite("open", path, error))?;
    // A file that is refused stays as it is: closing it must not throw away what SQLite does not see
    // in the WAL.
    let keep_wal = |keep| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    keep_wal(true).map_err(|error| JournalError::sqlite("open", path, error))?;
    if is_new(&connection, path)? {
        create(&connection, path)?;
    }
    check_pages(&connection, path)?;
    let mark = read_mark(&connection, path)?;
    let last = check_rows(&connection, path, mark)?;
    use_wal(&connection, path)?;
    let position = recover(&connection, options, Position { last, mark })?;
    keep_wal(false).map_err(|error| JournalError::sqlite("open", path, error))?;
    Ok(Store {
        lock,
        connection,
        waiting: position.last - position.mark,
        position,
    })
}

fn create(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    // SQLite takes a WAL whose head is damaged for an empty one, and would write over it.
    if !carve_wal(path)?.events.is_empty() {
        return Err(JournalError::corrupt(path, Damage::MissingFile));
    }
    create_schema(connection, 0)
        // Into the file itself, so that it never again looks new.
        .and_then(|()| checkpoint(connection, Checkpoint::Restart))
        .map_err(|error| JournalError::sqlite("create", path, error))?;
    super::sync_folder(path)
}

/// A salvage leaves a file without.
fn use_wal(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| JournalError::sqlite("open", path, error))?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(JournalError::NoWal {
            path: path.to_owned(),
        })
    }
}

fn check_files(path: &Path) -> Result<(), JournalError> {
    if exists(&beside(path, ".salvaged"))? {
        return Err(JournalError::SalvageUnfinished {
            path: path.to_owned(),
        });
    }
    if length(path)? == 0 && length(&beside(path, "-wal"))? > 0 {
        return Err(JournalError::corrupt(path, Damage::MissingFile));
    }
    Ok(())
}

pub(crate) fn exists(path: &Path) -> Result<bool, JournalError> {
    path.try_exists()
        .map_err(|error| JournalError::file("look at", path, error))
}

pub(crate) fn length(path: &Path) -> Result<u64, JournalError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(JournalError::file("look at", path, error)),
    }
}

/// Tells a file without a schema from a journal, and refuses everything else.
fn is_new(connection: &Connection, path: &Path) -> Result<bool, JournalError> {
    let number = |sql: &str| -> Result<i64, JournalError> {
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| JournalError::sqlite("open", path, error))
    };
    match number("PRAGMA application_id")? {
        APPLICATION_ID => {}
        0 if number("SELECT count(*) FROM sqlite_schema")? == 0 => return Ok(true),
        _ => {
            return Err(JournalError::NotAJournal {
                path: path.to_owned(),
            });
        }
    }
    let found = number("PRAGMA user_version")?;
    if found > FORMAT {
        return Err(JournalError::NewerFormat {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    Ok(false)
}

/// Creates the tables in an empty file, with the mark at `forgotten`.
pub(crate) fn create_schema(connection: &Connection, forgotten: u64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_SIZE.cast_signed())?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let schema = format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE events (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
         CREATE TABLE mark (id INTEGER PRIMARY KEY CHECK (id = 0), body BLOB NOT NULL) STRICT;
         CREATE TABLE reserve (id INTEGER PRIMARY KEY, space BLOB NOT NULL) STRICT;
         INSERT INTO mark (id, body) VALUES (0, x'');
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT};"
    );
    let result = connection
        .execute_batch(&schema)
        .and_then(|()| super::set_mark(connection, forgotten))
        .and_then(|()| super::execute(connection, "COMMIT"));
    if result.is_err() && !connection.is_autocommit() {
        super::execute(connection, "ROLLBACK")?;
    }
    result
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| JournalError::sqlite("check", path, error))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(JournalError::corrupt(path, Damage::Check(found)))
    }
}

/// Reads up to which event all are forgotten.
pub(crate) fn read_mark(connection: &Connection, path: &Path) -> Result<u64, JournalError> {
    let body: Vec<u8> = connection
        .query_row("SELECT body FROM mark", [], |row| row.get(0))
        .map_err(|error| JournalError::sqlite("read", path, error))?;
    row::decode_mark(&body).map_err(|source| JournalError::corrupt(path, Damage::Row { sequence: 0, source }))
}

/// Checks every row; returns the number of the last, or the mark.
fn check_rows(connection: &Connection, path: &Path, mark: u64) -> Result<u64, JournalError> {
    let failed = |error| JournalError::sqlite("check", path, error);
    let mut statement = connection
        .prepare("SELECT sequence, body FROM events ORDER BY sequence")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut last = mark;
    while let Some(row) = rows.next().map_err(failed)? {
        let sequence: i64 = row.get(0).map_err(failed)?;
        decode(sequence, row.get_ref(1).map_err(failed)?)
            .map_err(|source| JournalError::corrupt(path, Damage::Row { sequence, source }))?;
        check_gap(last, sequence.cast_unsigned(), path)?;
        last += 1;
    }
    Ok(last)
}

/// Numbers are given without gaps and taken away from the lowest on.
fn check_gap(last: u64, sequence: u64, path: &Path) -> Result<(), JournalError> {
    if sequence == last + 1 {
        return Ok(());
    }
    let gap = Damage::Gap {
        from: last + 1,
        through: sequence.saturating_sub(1),
    };
    Err(JournalError::corrupt(path, gap))
}
