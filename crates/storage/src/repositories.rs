//! The repositories: one module of functions for each kind of record.

pub mod accounts;
pub mod api_keys;
pub mod bills;
pub mod buckets;
pub mod catalogue;
pub mod catalogue_file;
mod convert;
pub mod credits;
pub mod deployments;
pub mod ledger;
pub mod level_packages;
pub mod nodes;
mod page;
pub mod prices;
pub mod revisions;
pub mod transfer;

pub use page::{Changed, Page, UnreadableRow};
