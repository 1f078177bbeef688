//! Keys: their text, and the table in memory that opens accounts.

mod lookup;
mod table;
mod text;

pub(crate) use lookup::Lookups;
pub use table::Profile;
pub(crate) use table::{AccountState, KeyTable};
pub(crate) use text::{generate, hash, hint};
