//! What commands say on their own terminal. Logs go through `tracing`, never through here.

use std::io::Write as _;

/// Writes `text` and a line break to standard output.
///
/// A closed output (`silica config | head -1`) is no failure of the command.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes `text` and a line break to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
