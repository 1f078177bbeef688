//! What several nodes count together: limits, spendable amounts and who is alive, in Redis or Valkey.
//!
//! Redis is a cache of sums. The ledger in PostgreSQL is the truth, each node's journal holds what the
//! ledger does not have yet, and each process knows what its running calls hold; so everything here can
//! be lost and made again. What is counted belongs to an **epoch**, one life of one Redis process. A
//! Redis that was started again, with or without old data, begins a new one.
//!
//! - [`Link`] is one connection. It ends with its server and is never repaired: who lost it joins again.
//! - [`Member`] is one process that has joined an epoch. [`Member::admit`] checks and takes every limit
//!   and the wallet in one round trip, [`Member::finish`] gives back the difference.
//!
//! The rules of windows are those of `silica_billing::MemoryCounters`, in Lua (`scripts/windows.lua`);
//! a test runs both side by side. A Redis Cluster is refused: its servers would each have a run id.

mod epoch;
mod error;
mod finish;
mod link;
mod member;
mod names;
mod options;
mod order;
mod script;

pub use epoch::Epoch;
pub use error::ClusterError;
pub use finish::{Correction, Finish};
pub use link::Link;
pub use member::{Beat, Claim, DayUse, Installed, KeyClaim, Member, MonthSpent};
pub use options::ClusterOptions;
pub use order::{Grant, Order, Unknown, Verdict};
