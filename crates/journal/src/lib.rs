//! The usage journal: settled calls on local disk before their answers end, until the database has
//! them.
//!
//! Owns one SQLite file (WAL) and two threads. The writer commits everything that is queued as one
//! group; the keeper checkpoints, watches the disk and keeps space in reserve, so that calls in
//! flight can still settle when the disk is full. What it must not do: know prices, wallets or the
//! database that the events go to.
//!
//! - [`Journal::append`] queues an event and never blocks; the [`Commit`] resolves when it is safe.
//! - [`Journal::gate`] says whether new calls may be admitted.
//! - [`Journal::unapplied`] and [`Journal::forget`] are for the applier.
//! - [`salvage()`] takes the events out of a damaged file.

mod carve;
mod codec;
mod error;
mod gate;
mod journal;
mod keeper;
mod meters;
mod options;
mod queue;
mod reserve;
mod row;
mod salvage;
mod store;
mod turn;
mod writer;

pub use codec::BadPayload;
pub use error::{Damage, JournalError};
pub use gate::Closed;
pub use journal::{Entry, Journal};
pub use options::{Durability, JournalOptions};
pub use queue::{Commit, Sequence};
pub use row::BadRow;
pub use salvage::{Salvaged, salvage};
