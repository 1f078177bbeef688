//! The endpoints, one a file.

pub(crate) mod accounts;
pub(crate) mod bills;
pub(crate) mod credits;
pub(crate) mod deployments;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod level_packages;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod prices;
pub(crate) mod replicas;
