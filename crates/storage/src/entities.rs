//! The tables as SeaORM sees them. The records in [`crate::records`] are what others see.

pub(crate) mod account;
pub(crate) mod api_key;
pub(crate) mod bucket;
pub(crate) mod bucket_day;
pub(crate) mod catalogue_file;
pub(crate) mod catalogue_model;
pub(crate) mod credit;
pub(crate) mod deployment;
pub(crate) mod deployment_model;
pub(crate) mod ledger_row;
pub(crate) mod ledger_state;
pub(crate) mod level_package;
pub(crate) mod node;
pub(crate) mod price;
pub(crate) mod revision;
pub(crate) mod usage_day;
