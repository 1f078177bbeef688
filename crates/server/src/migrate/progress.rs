//! Shows on standard error how far a move is: a line that changes on a terminal, a line for each table
//! and now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use silica_platform::transfer::{Progress, Step};

/// The pause between two changes of the line on a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// The pause between two lines of one table elsewhere.
const REPORT: Duration = Duration::from_secs(10);

/// Tells a person.
#[derive(Debug)]
pub(super) struct Told {
    is_terminal: bool,
    last: Instant,
    has_line: bool,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            last: Instant::now(),
            has_line: false,
        }
    }

    /// Tells about every table's end, and of long ones how far they are.
    pub(super) fn tell(&mut self, progress: Progress) {
        let is_done = progress.rows >= progress.of;
        let pause = if self.is_terminal { REDRAW } else { REPORT };
        if !is_done && self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let begin = if self.is_terminal { "\r\x1b[2K" } else { "" };
        self.has_line = self.is_terminal && !is_done;
        let end = if self.has_line { "" } else { "\n" };
        write(&format!("{begin}{}{end}", words(progress)));
    }

    /// Leaves the last line alone, so that others can follow.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            write("\n");
        }
    }
}

fn words(progress: Progress) -> String {
    let doing = match progress.step {
        Step::Copying => "moving",
        Step::ReadingSource => "reading",
        Step::Comparing => "comparing",
    };
    let Progress { table, rows, of, .. } = progress;
    format!("{doing} {table}: {rows} of {of} rows")
}

fn write(text: &str) {
    let mut output = io::stderr().lock();
    // A closed output is no failure of the command.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_with_its_rows() {
        let progress = Progress {
            step: Step::Copying,
            table: "ledger",
            rows: 2000,
            of: 34_567,
        };
        assert_eq!(words(progress), "moving ledger: 2000 of 34567 rows");
    }
}
