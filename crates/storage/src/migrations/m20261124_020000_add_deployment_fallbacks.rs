//! Adds to each deployment the deployments that answer in its stead.
//!
//! JSON text with a default, so that a binary that does not know the column goes on storing rows.

use sea_orm_migration::prelude::*;

const TABLE: &str = "deployments";
const COLUMN: &str = "fallbacks";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new(COLUMN).text().not_null().default("[]").take();
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
