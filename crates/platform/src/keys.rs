//! Keys: their text, and the table in memory that opens accounts.

mod account;
mod lookup;
mod table;
mod text;

pub(crate) use account::AccountState;
pub use account::Profile;
pub(crate) use lookup::Lookups;
pub(crate) use table::KeyTable;
pub(crate) use text::{generate, hash, hint};
