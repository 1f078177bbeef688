//! Finds rows in the bytes of files, whatever SQLite thinks of them.
//!
//! Rows of up to about 8,150 bytes, which are calls paid from up to about 330 vouchers: SQLite cuts
//! longer ones into several pages, and only SQLite finds them again. A file from before pages had
//! [`PAGE_SIZE`] cuts them at about a quarter of that.

mod wal;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use silica_billing::UsageEvent;

use crate::row::{MAGIC, MARK_MAGIC, Row};
use crate::store::PAGE_SIZE;

/// What was found: also rows that are forgotten, more than once, in no order.
#[derive(Debug, Default)]
pub(crate) struct Carved {
    pub(crate) events: Vec<(u64, UsageEvent)>,
    /// The newest mark: events up to this number are forgotten.
    pub(crate) mark: u64,
}

impl Carved {
    /// Looks through the database file, when there is one.
    pub(crate) fn add_database(&mut self, path: &Path) -> io::Result<()> {
        let Some(mut file) = open(path)? else {
            return Ok(());
        };
        // Smaller pages are read several at a time.
        let mut page = Vec::new();
        while read_up_to(&mut file, PAGE_SIZE, &mut page)? > 0 {
            self.add_page(&page);
        }
        Ok(())
    }

    /// Looks through the transactions in the WAL file that were committed since it was last begun
    /// anew, when there is one.
    pub(crate) fn add_wal(&mut self, path: &Path) -> io::Result<()> {
        let Some(file) = open(path)? else { return Ok(()) };
        wal::for_each_committed_page(file, |page| self.add_page(page))
    }

    fn add_page(&mut self, page: &[u8]) {
        for start in 0..page.len() {
            let bytes = &page[start..];
            if bytes.starts_with(&MAGIC)
                && let Ok(row) = Row::at_start(MAGIC, bytes)
                && let Ok(event) = row.event()
            {
                self.events.push((row.sequence, event));
                self.mark = self.mark.max(row.mark);
            } else if bytes.starts_with(&MARK_MAGIC)
                && let Ok(row) = Row::at_start(MARK_MAGIC, bytes)
            {
                self.mark = self.mark.max(row.mark);
            }
        }
    }
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces `buffer` by the next bytes; fewer than `length` only at the end of the file.
fn read_up_to(file: &mut impl Read, length: u64, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    file.take(length).read_to_end(buffer)
}
