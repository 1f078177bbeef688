//! Shows on standard error how far a model has come: one line that changes on a terminal, a line now
//! and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use silica_gateway::error_chain;
use silica_model_store::{Progress, Step};

use super::words::size;

/// The pause between two changes of the line on a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// The pause between two lines elsewhere.
const REPORT: Duration = Duration::from_secs(10);
/// The width of the bar.
const BAR: u64 = 24;

/// Tells a person.
pub(super) struct Told {
    is_terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    total: u64,
    there: u64,
    /// Bytes that came since the start, for the rate.
    came: u64,
    started: Instant,
    drawn: Instant,
    has_line: bool,
}

impl Told {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            is_terminal: io::stderr().is_terminal(),
            state: Mutex::new(State {
                total: 0,
                there: 0,
                came: 0,
                started: now,
                drawn: now,
                has_line: false,
            }),
        }
    }

    /// Leaves the last line alone, so that others can follow.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if state.has_line {
            write("\n");
            state.has_line = false;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line above the one that changes.
    fn line(&self, state: &mut State, text: &str) {
        if state.has_line {
            write("\r\x1b[2K");
            state.has_line = false;
        }
        write(&format!("{text}\n"));
        if self.is_terminal && state.total > 0 {
            state.draw();
        }
    }

    fn moved(&self, state: &mut State) {
        let pause = if self.is_terminal { REDRAW } else { REPORT };
        if state.drawn.elapsed() < pause {
            return;
        }
        if self.is_terminal {
            state.draw();
        } else {
            state.drawn = Instant::now();
            write(&format!("{}\n", state.figures()));
        }
    }
}

impl Progress for Told {
    fn tell(&self, step: Step<'_>) {
        let mut state = self.state();
        match step {
            Step::Planned { files, bytes, kept } => {
                let now = Instant::now();
                *state = State {
                    total: bytes,
                    there: kept,
                    came: 0,
                    started: now,
                    drawn: now,
                    has_line: state.has_line,
                };
                let left = if kept == 0 {
                    String::new()
                } else {
                    format!(", {} are there already", size(kept))
                };
                self.line(&mut state, &format!("{files} files, {}{left}", size(bytes)));
            }
            Step::Bytes(count) => {
                state.there += count;
                state.came += count;
                self.moved(&mut state);
            }
            Step::Lost(count) => state.there = state.there.saturating_sub(count),
            Step::Done(file) => self.line(&mut state, &format!("{file} is there")),
            Step::Again { file, reason, pause } => {
                let text = format!("{file}: {reason}; again in {:.1} s", pause.as_secs_f64());
                self.line(&mut state, &text);
            }
            Step::Warning(error) => {
                let text = format!("the model is there, but {}", error_chain(error));
                self.line(&mut state, &text);
            }
            Step::Checking => {
                // The line has said all it can.
                state.total = 0;
                self.line(&mut state, "checking the model");
            }
        }
    }
}

impl State {
    fn draw(&mut self) {
        let scaled = self.there.min(self.total).saturating_mul(BAR);
        let full = scaled.checked_div(self.total).unwrap_or(BAR);
        let bar: String = (0..BAR)
            .map(|place| if place < full { '#' } else { '.' })
            .collect();
        write(&format!("\r\x1b[2K[{bar}] {}", self.figures()));
        self.drawn = Instant::now();
        self.has_line = true;
    }

    /// Bytes, rate and time left.
    fn figures(&self) -> String {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rate = self.came.saturating_mul(1000) / millis.max(1);
        let left = match self.total.saturating_sub(self.there).checked_div(rate) {
            Some(seconds) => format!(", {} left", told_seconds(seconds)),
            None => String::new(),
        };
        format!(
            "{} of {}, {}/s{left}",
            size(self.there),
            size(self.total),
            size(rate)
        )
    }
}

fn told_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
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
    fn figures_say_how_much_how_fast_and_how_long() {
        let started = Instant::now();
        let state = State {
            total: 4 << 20,
            there: 1 << 20,
            came: 0,
            started,
            drawn: started,
            has_line: false,
        };
        assert_eq!(state.figures(), "1.0 MiB of 4.0 MiB, 0 B/s");
        assert_eq!(
            [told_seconds(59), told_seconds(61), told_seconds(3661)],
            ["59 s", "1 min 1 s", "1 h 1 min"]
        );
    }
}
