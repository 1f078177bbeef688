//! Keys: their text, and the table in memory that opens accounts.

mod table;
mod text;

pub(crate) use table::KeyTable;
pub(crate) use text::{generate, hash, hint};
