//! Log lines are written by a thread of their own, many in one write.
//!
//! A write for each call's line costs as much as sending its answer, and whoever reads standard
//! error slowly, or not at all, must not hold up requests.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather. A killed process loses the lines of that time, but for warnings and errors,
/// which are written at once.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes that may wait to be written; what comes then is dropped, and counted.
const ROOM: usize = 1 << 20;
/// How long the end waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where log lines go.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Shared>);

/// Ends the writing, when dropped, with all lines written if their reader takes them within a second.
#[must_use = "dropping it ends the writing"]
#[derive(Debug)]
pub(crate) struct WritingLines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the thread.
    ready: Condvar,
    /// Tells that the thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that found no room.
    dropped: u64,
    /// Whether the thread sleeps until the first line comes.
    idle: bool,
    /// Whether something that waits may not wait.
    urgent: bool,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Closing,
    Ended,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, WritingLines)> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("silica-log".to_owned())
            .spawn(move || of_thread.write_to(out))?;
        Ok((Self(Arc::clone(&shared)), WritingLines(shared)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.lock();
        if waiting.phase == Phase::Ended {
            drop(waiting);
            // Nobody else writes any more.
            let _nowhere_to_tell = io::stderr().write_all(line);
            return;
        }
        if waiting.lines.len() + line.len() > ROOM {
            waiting.dropped += 1;
            return;
        }
        let was_low = waiting.lines.len() < ROOM / 2;
        waiting.lines.extend_from_slice(line);
        let is_half_full = was_low && waiting.lines.len() >= ROOM / 2;
        waiting.urgent |= urgent || is_half_full;
        if mem::take(&mut waiting.idle) || urgent || is_half_full {
            drop(waiting);
            self.ready.notify_one();
        }
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        while let Some(dropped) = self.take(&mut lines) {
            // A line that cannot be written has nobody to be told to.
            let _nowhere_to_tell = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            lines.shrink_to(ROOM / 16);
            if dropped > 0 {
                tracing::warn!("{dropped} log lines were dropped: standard error was not read in time");
            }
        }
        self.lock().phase = Phase::Ended;
        self.ended.notify_all();
    }

    /// Waits for lines and moves them to the empty `lines`; tells how many were dropped meanwhile.
    /// `None` at the end.
    fn take(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let mut waiting = self.lock();
        while waiting.lines.is_empty() && waiting.phase == Phase::Open {
            waiting.idle = true;
            waiting = self.ready.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |waiting: &mut Waiting| !waiting.urgent && waiting.phase == Phase::Open;
        let gathered = self.ready.wait_timeout_while(waiting, GATHER, gathers);
        let mut waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
        mem::swap(&mut waiting.lines, lines);
        waiting.urgent = false;
        let dropped = mem::take(&mut waiting.dropped);
        (!lines.is_empty() || dropped > 0).then_some(dropped)
    }
}

impl Drop for WritingLines {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.phase = Phase::Closing;
        self.0.ready.notify_one();
        let not_ended = |waiting: &mut Waiting| waiting.phase != Phase::Ended;
        drop(self.0.ended.wait_timeout_while(waiting, PATIENCE, not_ended));
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            shared: &self.0,
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line {
            shared: &self.0,
            urgent: *metadata.level() <= Level::WARN,
        }
    }
}

/// Takes one whole line by one write, as the subscriber makes it.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    shared: &'a Shared,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.push(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands over each write, and takes none until it may.
    struct Reader {
        may_go: mpsc::Receiver<()>,
        writes: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Goes on for good when the test has dropped its end.
            let _ = self.may_go.recv();
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            self.writes.send(text).expect("the test reads");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (Lines, WritingLines, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (go, may_go) = mpsc::channel();
        let (writes, written) = mpsc::channel();
        let (lines, writing) = Lines::start(Reader { may_go, writes }).expect("a thread");
        (lines, writing, go, written)
    }

    #[test]
    fn lines_come_in_their_order_and_all_by_the_end() {
        let (lines, writing, go, written) = start();
        drop(go);
        for number in 0..1000 {
            writeln!(lines.make_writer(), "{number}").expect("a line");
        }
        drop(writing);
        let text: String = written.try_iter().collect();
        let numbers: Vec<i32> = text.lines().map(|line| line.parse().expect("a number")).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn who_does_not_read_costs_lines_and_holds_up_nobody() {
        let (lines, writing, go, written) = start();
        lines.0.push(b"first\n", true);
        // Once it is taken, nothing else is: the reader has it and goes no further.
        while !lines.0.lock().lines.is_empty() {
            thread::yield_now();
        }
        let line = [b'x'; 1024];
        for _ in 0..5000 {
            lines.0.push(&line, false);
        }
        assert_eq!(lines.0.lock().dropped, 5000 - (ROOM / line.len()) as u64);
        assert!(lines.0.lock().lines.len() <= ROOM);
        drop(go);
        drop(writing);
        let text: String = written.try_iter().collect();
        assert!(text.starts_with("first\nxxx"));
        assert_eq!(text.bytes().filter(|byte| *byte == b'x').count() % line.len(), 0);
    }

    #[test]
    fn warnings_do_not_wait_for_more() {
        let (lines, _writing, go, written) = start();
        drop(go);
        lines.0.push(b"warning\n", true);
        assert_eq!(written.recv().as_deref(), Ok("warning\n"));
        assert!(!lines.0.lock().urgent);
    }
}
