//! The repositories: one module of functions for each kind of record.

pub mod accounts;
pub mod api_keys;
pub mod catalogue;
mod convert;
pub mod deployments;
mod page;
pub mod revisions;

pub use page::{Changed, Page, UnreadableRow};
