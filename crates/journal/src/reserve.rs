//! Space that is kept for calls in flight when the disk fills up.
//!
//! Zeros are written through the WAL and deleted again: the WAL file, which is never cut off, keeps
//! its length, and the database file keeps the pages on its list of free ones, which inserts take
//! first.

use rusqlite::Connection;

/// Bytes of one row of zeros: what is written or deleted while calls that settle have to wait.
const CHUNK: u64 = 256 << 10;

/// Makes the WAL at least `bytes` long, and leaves at least that much free in the file once it is
/// checkpointed. The WAL must begin anew with it, and nobody may checkpoint it meanwhile.
///
/// Holds what `turn` returns while it writes one row, and asks for it again for the next; `None`
/// ends it early.
///
/// # Errors
/// `SQLITE_FULL` when the disk has no room. What was written until then stays, to be deleted by
/// [`empty`].
pub(crate) fn fill<T>(
    connection: &Connection,
    bytes: u64,
    turn: impl FnMut() -> Option<T>,
) -> rusqlite::Result<()> {
    let mut left = bytes;
    let insert = || {
        let size = left.min(CHUNK);
        left -= size;
        connection
            .prepare_cached("INSERT INTO reserve (space) VALUES (zeroblob(?1))")?
            .execute([size.cast_signed()])?;
        Ok(left > 0)
    };
    if bytes > 0 {
        in_turns(insert, turn)?;
    }
    Ok(())
}

/// Deletes the rows of zeros, one a turn, also those that an interrupted [`fill`] left behind.
pub(crate) fn empty<T>(connection: &Connection, turn: impl FnMut() -> Option<T>) -> rusqlite::Result<()> {
    let delete = || {
        let deleted = connection
            .prepare_cached("DELETE FROM reserve WHERE id = (SELECT min(id) FROM reserve)")?
            .execute([])?;
        Ok(deleted > 0)
    };
    in_turns(delete, turn)
}

/// Takes steps until one says that it was the last.
fn in_turns<T>(
    mut step: impl FnMut() -> rusqlite::Result<bool>,
    mut turn: impl FnMut() -> Option<T>,
) -> rusqlite::Result<()> {
    while let Some(_turn) = turn() {
        if !step()? {
            break;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Durability, store};

    #[test]
    fn others_may_write_between_any_two_rows_of_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        store::create_private(&path).unwrap();
        let keeper = store::connect(&path, Durability::Process).unwrap();
        store::create_schema(&keeper, 0).unwrap();
        let writer = store::connect(&path, Durability::Process).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        let wal = store::beside(&path, "-wal");
        let mut turns = 0;
        let mut length = std::fs::metadata(&wal).unwrap().len();
        let mut turn = || {
            store::set_mark(&writer, turns).unwrap();
            let longer = std::fs::metadata(&wal).unwrap().len();
            assert!(longer - length < CHUNK + CHUNK / 8, "{}", longer - length);
            length = longer;
            turns += 1;
            Some(())
        };
        fill(&keeper, 4 * CHUNK, &mut turn).unwrap();
        empty(&keeper, &mut turn).unwrap();
        assert_eq!(turns, 4 + 5);
        assert!(length > 4 * CHUNK);
        assert!(store::room(&keeper).unwrap().free >= 4 * CHUNK);
    }
}
