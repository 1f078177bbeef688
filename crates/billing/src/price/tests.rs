//! Cases of prices: their text, what units cost, and which entry applies when.

mod amount;
mod cost;
mod schedule;

use super::*;

/// A price from its JSON, as the database and the wire have it.
fn price(json: &str) -> Price {
    serde_json::from_str(json).unwrap()
}
