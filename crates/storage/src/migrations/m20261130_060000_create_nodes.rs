//! Adds the nodes of a cluster: one row for each that has a process, with its last sign of life.

use sea_orm_migration::prelude::*;

const TABLE: &str = "nodes";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(TABLE)
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("seen_at_us").big_integer().not_null())
            .take();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).take()).await
    }
}
