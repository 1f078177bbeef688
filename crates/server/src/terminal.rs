//! What commands say on their own terminal. Logs go through `tracing`, never through here.

use std::io::{self, Write as _};

/// Writes `text` and a line break to standard output.
///
/// A closed output (`silica config | head -1`) is no failure of the command.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Writes `text` and a line break to standard output, and makes sure that they got there.
///
/// # Errors
/// When the output is closed or full.
pub(crate) fn hand_over(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

/// Writes `text` and a line break to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
