//! The tables as SeaORM sees them. The records in [`crate::records`] are what others see.

pub(crate) mod account;
pub(crate) mod api_key;
pub(crate) mod catalogue_model;
pub(crate) mod deployment;
pub(crate) mod deployment_model;
pub(crate) mod revision;
