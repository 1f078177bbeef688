//! Finds rows in the bytes of a damaged file, whatever its tree looks like.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use silica_billing::UsageEvent;

use crate::row::{MAGIC, MARK_MAGIC, Row};
use crate::store::PAGE_SIZE;

/// Header of the WAL, and of each page in it.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

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
        open(path)?.map_or(Ok(()), |file| self.add_pages(file, 0))
    }

    /// Looks through the WAL file, when there is one.
    pub(crate) fn add_wal(&mut self, path: &Path) -> io::Result<()> {
        let Some(mut file) = open(path)? else {
            return Ok(());
        };
        io::copy(&mut (&mut file).take(WAL_HEADER), &mut io::sink())?;
        self.add_pages(file, FRAME_HEADER)
    }

    fn add_pages(&mut self, mut file: impl Read, header: u64) -> io::Result<()> {
        let mut page = Vec::new();
        loop {
            io::copy(&mut (&mut file).take(header), &mut io::sink())?;
            page.clear();
            if (&mut file).take(PAGE_SIZE).read_to_end(&mut page)? == 0 {
                return Ok(());
            }
            self.add_page(&page);
        }
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
