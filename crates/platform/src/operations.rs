//! The changes that operators make: validate, write in one transaction, show in memory.

mod accounts;
mod bills;
mod catalogue_file;
mod credits;
mod deployments;
mod first_operator;
mod keys;
mod level_packages;
mod models;
mod prices;

pub use accounts::{AccountChanges, NewAccount};
pub use bills::{Bill, BillGrouping, BillRange, BillSubject};
pub use catalogue_file::{
    AppliedCatalogue, CatalogueEntry, CatalogueFault, CheckedCatalogue, NewCatalogue, check_catalogue,
};
pub use credits::NewCredit;
pub use deployments::{NewDeployment, NewReplica, deployed_folders};
pub use first_operator::FirstOperatorError;
pub use keys::{CreatedKey, KeyChanges, NewKey};
pub use level_packages::{NewLevelPackage, SoldPackage};
pub use models::NewModel;
pub use prices::NewPrice;
