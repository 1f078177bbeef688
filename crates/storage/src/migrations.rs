//! The schema, version by version. A released migration is never edited, and each must be safe
//! while the binary before it still runs: expand first, contract in a later release. A new table also belongs into
//! the list of `repositories/transfer/tables.rs`, or moves to another database would forget it.

use sea_orm_migration::{MigrationTrait, MigratorTrait};

mod m20261123_190000_create_accounts_and_catalogue;
mod m20261123_220000_create_ledger;
mod m20261124_020000_add_deployment_fallbacks;
mod m20261124_023000_create_catalogue_file;
mod m20261129_220000_add_levels;
mod m20261130_060000_create_nodes;
mod m20261130_063000_add_vision_rules;

/// Every migration, oldest first.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_190000_create_accounts_and_catalogue::Migration),
            Box::new(m20261123_220000_create_ledger::Migration),
            Box::new(m20261124_020000_add_deployment_fallbacks::Migration),
            Box::new(m20261124_023000_create_catalogue_file::Migration),
            Box::new(m20261129_220000_add_levels::Migration),
            Box::new(m20261130_060000_create_nodes::Migration),
            Box::new(m20261130_063000_add_vision_rules::Migration),
        ]
    }
}
