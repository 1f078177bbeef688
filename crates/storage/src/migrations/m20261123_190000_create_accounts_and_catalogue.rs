//! Creates accounts, API keys, catalogue models, deployments and the revision counter.
//!
//! No column is REAL: prices are decimal strings inside JSON text, times are whole microseconds
//! since 1970 in 64-bit integers, ids are UUIDs or names.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            accounts(),
            api_keys(),
            catalogue_models(),
            deployments(),
            deployment_models(),
            revisions(),
        ] {
            manager.create_table(table).await?;
        }
        for index in [
            Index::create()
                .name("api_keys_by_account")
                .table("api_keys")
                .col("account_id")
                .col("id")
                .take(),
            Index::create()
                .name("api_keys_by_revision")
                .table("api_keys")
                .col("revision")
                .take(),
            Index::create()
                .name("accounts_by_revision")
                .table("accounts")
                .col("revision")
                .take(),
            Index::create()
                .name("deployment_models_by_deployment")
                .table("deployment_models")
                .col("deployment_name")
                .take(),
        ] {
            manager.create_index(index).await?;
        }
        let first = Query::insert()
            .into_table("revisions")
            .columns(["id", "revision", "catalogue_revision"])
            .values_panic([1.into(), 0.into(), 0.into()])
            .to_owned();
        manager.execute(first).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "revisions",
            "deployment_models",
            "deployments",
            "catalogue_models",
            "api_keys",
            "accounts",
        ] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}

fn accounts() -> TableCreateStatement {
    Table::create()
        .table("accounts")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("email").text().not_null().unique_key())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("status").text().not_null())
        .col(ColumnDef::new("verified").boolean().not_null())
        .col(ColumnDef::new("level_override").text())
        .col(ColumnDef::new("created_at_us").big_integer().not_null())
        .col(ColumnDef::new("updated_at_us").big_integer().not_null())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .take()
}

fn api_keys() -> TableCreateStatement {
    Table::create()
        .table("api_keys")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("account_id").uuid().not_null())
        .col(ColumnDef::new("key_hash").var_binary(32).not_null().unique_key())
        .col(ColumnDef::new("hint").text().not_null())
        .col(ColumnDef::new("description").text().not_null())
        .col(ColumnDef::new("status").text().not_null())
        .col(ColumnDef::new("limits").text())
        .col(ColumnDef::new("expires_at_us").big_integer())
        .col(ColumnDef::new("created_at_us").big_integer().not_null())
        .col(ColumnDef::new("updated_at_us").big_integer().not_null())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .foreign_key(
            ForeignKey::create()
                .name("api_keys_account")
                .from("api_keys", "account_id")
                .to("accounts", "id"),
        )
        .take()
}

fn catalogue_models() -> TableCreateStatement {
    Table::create()
        .table("catalogue_models")
        .col(ColumnDef::new("id").text().not_null().primary_key())
        .col(ColumnDef::new("model_type").text().not_null())
        .col(ColumnDef::new("sub_type").text().not_null())
        .col(ColumnDef::new("context_length").big_integer())
        .col(ColumnDef::new("features").text().not_null())
        .col(ColumnDef::new("tags").text().not_null())
        .col(ColumnDef::new("price").text().not_null())
        .col(ColumnDef::new("limits").text())
        .col(ColumnDef::new("real_name").boolean().not_null())
        .col(ColumnDef::new("charge_only").boolean().not_null())
        .col(ColumnDef::new("status").text().not_null())
        .col(ColumnDef::new("description").text().not_null())
        .col(ColumnDef::new("created_at_us").big_integer().not_null())
        .col(ColumnDef::new("updated_at_us").big_integer().not_null())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .take()
}

fn deployments() -> TableCreateStatement {
    Table::create()
        .table("deployments")
        .col(ColumnDef::new("name").text().not_null().primary_key())
        .col(ColumnDef::new("policy").text().not_null())
        .col(ColumnDef::new("replicas").text().not_null())
        .col(ColumnDef::new("created_at_us").big_integer().not_null())
        .col(ColumnDef::new("updated_at_us").big_integer().not_null())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .take()
}

fn deployment_models() -> TableCreateStatement {
    Table::create()
        .table("deployment_models")
        .col(ColumnDef::new("model_id").text().not_null().primary_key())
        .col(ColumnDef::new("deployment_name").text().not_null())
        .col(ColumnDef::new("position").integer().not_null())
        .foreign_key(
            ForeignKey::create()
                .name("deployment_models_model")
                .from("deployment_models", "model_id")
                .to("catalogue_models", "id"),
        )
        .foreign_key(
            ForeignKey::create()
                .name("deployment_models_deployment")
                .from("deployment_models", "deployment_name")
                .to("deployments", "name")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .take()
}

fn revisions() -> TableCreateStatement {
    Table::create()
        .table("revisions")
        .col(ColumnDef::new("id").integer().not_null().primary_key())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .col(ColumnDef::new("catalogue_revision").big_integer().not_null())
        .take()
}
