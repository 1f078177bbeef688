//! Adds what the server remembers of its catalogue file: one row, once a file was applied.

use sea_orm_migration::prelude::*;

const TABLE: &str = "catalogue_file";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(TABLE)
            .col(ColumnDef::new("id").integer().not_null().primary_key())
            .col(ColumnDef::new("path").text().not_null())
            .col(ColumnDef::new("models").text().not_null())
            .col(ColumnDef::new("deployments").text().not_null())
            .col(ColumnDef::new("applied_at_us").big_integer().not_null())
            .take();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).take()).await
    }
}
