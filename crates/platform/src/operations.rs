//! The changes that operators make: validate, write in one transaction, show in memory.

mod accounts;
mod deployments;
mod first_operator;
mod keys;
mod models;

pub use accounts::{AccountChanges, NewAccount, level_in_force};
pub use deployments::{NewDeployment, NewReplica};
pub use first_operator::FirstOperatorError;
pub use keys::{CreatedKey, KeyChanges, NewKey};
pub use models::NewModel;
