//! The endpoints, one a file.

pub(crate) mod accounts;
pub(crate) mod deployments;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod models;
