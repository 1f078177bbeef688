//! The catalogue file: models and deployments as code, in the words of the operator API.
//!
//! A file is read, checked and its engines are loaded before anything changes; then all of it comes
//! in force at once. One that is not good leaves the last good one in force.

mod apply;
mod document;
mod error;
mod follow;
mod json;
mod keys;
mod source;

pub(crate) use error::CatalogueFileError;
pub(crate) use follow::CatalogueFollower;
pub(crate) use source::CatalogueSource;
