//! The ledger: settled calls, credits and ended vouchers, with their sums.
//!
//! Rows are appended and never changed. What sums them up (balances, `usage_days`, `bucket_days`) is
//! changed in the same transaction, and [`verify`] compares the two; so is what accounts spent by month,
//! which is a sum of `usage_days`. Every transaction locks in one order: the change counter if it takes
//! a number, then buckets by id, then accounts by id, then rows, then sums by key.

mod apply;
mod booking;
mod consumption;
mod list;
mod partitions;
#[cfg(test)]
mod plans;
mod prune;
pub(super) mod rows;
mod set_aside;
mod verify;

pub use apply::apply;
pub use list::list;
pub(crate) use partitions::Partitions;
pub(super) use partitions::make_in as make_partitions_in;
pub(super) use prune::first_kept;
pub use prune::prune;
pub(super) use verify::verify_in;
pub use verify::{verify, verify_day};

pub(super) const TABLE: &str = "ledger";
