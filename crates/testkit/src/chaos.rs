//! How long a test of endurance runs.

use std::time::Duration;

/// The variable that asks for a long run, in seconds.
const VARIABLE: &str = "SILICA_CHAOS_SECONDS";

/// The time that `make chaos` asks for; `None` in an ordinary test run.
///
/// # Panics
/// When the variable is no number of seconds.
#[expect(clippy::expect_used, reason = "a run that was not meant like that has failed")]
#[expect(
    clippy::disallowed_methods,
    reason = "the length of a test run is no setting of the product"
)]
pub fn chaos_time() -> Option<Duration> {
    let text = std::env::var(VARIABLE).ok()?;
    let seconds = text.parse().expect("SILICA_CHAOS_SECONDS is a number of seconds");
    Some(Duration::from_secs(seconds))
}
