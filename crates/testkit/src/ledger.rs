//! What the database says of its own sums.

use silica_storage::{Storage, ledger};

/// Everything in the ledger that does not add up, in words.
///
/// # Panics
/// When it cannot be read.
#[expect(clippy::expect_used, reason = "a test that cannot read the ledger has failed")]
pub async fn ledger_discrepancies(storage: &Storage) -> Vec<String> {
    let found = ledger::verify(storage).await.expect("the ledger is readable");
    found.iter().map(ToString::to_string).collect()
}
