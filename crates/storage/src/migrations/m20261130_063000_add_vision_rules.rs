//! Adds to each model the rule by which its images are counted.
//!
//! Null means that there is none, so that a binary that does not know the column goes on storing rows.

use sea_orm_migration::prelude::*;

const TABLE: &str = "catalogue_models";
const COLUMN: &str = "vision";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new(COLUMN).text().null().take();
        manager
            .alter_table(Table::alter().table(TABLE).add_column(column).take())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(Table::alter().table(TABLE).drop_column(COLUMN).take())
            .await
    }
}
