//! Space that is kept for calls in flight when the disk fills up.
//!
//! Zeros are written through the WAL and deleted again: the WAL file, which is never cut off, keeps
//! its length, and the database file keeps the pages on its list of free ones, which inserts take
//! first.

use rusqlite::Connection;

use crate::store;

/// Bytes of one row of zeros.
const CHUNK: u64 = 256 << 10;

/// Makes the WAL at least `bytes` long, and leaves at least that much free in the file.
///
/// # Errors
/// `SQLITE_FULL` when the disk has no room; the file is as it was then.
pub(crate) fn fill(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let filled = write(connection, bytes);
    if filled.is_err() && !connection.is_autocommit() {
        store::execute(connection, "ROLLBACK")?;
    }
    filled?;
    empty(connection)?;
    // What the file grows by gets its place on the disk here, not with the first call that needs it.
    checkpoint(connection, Checkpoint::Restart)?;
    Ok(())
}

fn write(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    store::execute(connection, "BEGIN IMMEDIATE")?;
    let mut left = bytes;
    while left > 0 {
        let size = left.min(CHUNK);
        connection
            .prepare_cached("INSERT INTO reserve (space) VALUES (zeroblob(?1))")?
            .execute([size.cast_signed()])?;
        left -= size;
    }
    store::execute(connection, "COMMIT")
}

/// Deletes rows of zeros, also those that an interrupted [`fill`] left behind.
pub(crate) fn empty(connection: &Connection) -> rusqlite::Result<()> {
    store::execute(connection, "DELETE FROM reserve")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// What can be done beside readers and the writer.
    Passive,
    /// All of it, so that the next commit begins the WAL anew. Waits for readers and the writer.
    Restart,
}

/// Moves what the WAL holds into the file; returns whether all of it was moved.
pub(crate) fn checkpoint(connection: &Connection, mode: Checkpoint) -> rusqlite::Result<bool> {
    let statement = match mode {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
    };
    connection.prepare_cached(statement)?.query_row([], |row| {
        let (busy, pages, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && pages == moved)
    })
}
