//! Adds what usage levels come from: each account's spending and bought levels of this month and the
//! last, and the level packages that were sold.
//!
//! The columns have defaults, so that a binary that does not know them goes on storing rows. Spending
//! is filled from the sums by day; what such a binary books afterwards is missing in it until the
//! month after the next, and can only make a level too low, which an operator's level mends.

use sea_orm_migration::prelude::*;

const ACCOUNTS: &str = "accounts";
const PACKAGES: &str = "level_packages";

/// The month of each account's last calls.
const FILL_MONTHS: &str = "UPDATE accounts SET spend_month = COALESCE((\
    SELECT MAX(u.day) / 100 FROM usage_days u WHERE u.account_id = accounts.id), 0)";
/// What its calls took from its buckets in that month, and in the one before.
const FILL_SUMS: &str = "UPDATE accounts SET \
    spend_nano = COALESCE((SELECT CAST(SUM(u.voucher_nano + u.gift_nano + u.charge_nano) AS bigint) \
        FROM usage_days u WHERE u.account_id = accounts.id \
        AND u.day BETWEEN accounts.spend_month * 100 AND accounts.spend_month * 100 + 99), 0), \
    spend_before_nano = COALESCE((SELECT CAST(SUM(u.voucher_nano + u.gift_nano + u.charge_nano) AS bigint) \
        FROM usage_days u WHERE u.account_id = accounts.id AND u.day BETWEEN \
        (accounts.spend_month - CASE WHEN accounts.spend_month % 100 = 1 THEN 89 ELSE 1 END) * 100 AND \
        (accounts.spend_month - CASE WHEN accounts.spend_month % 100 = 1 THEN 89 ELSE 1 END) * 100 + 99), 0) \
    WHERE spend_month > 0";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in columns() {
            let table = Table::alter().table(ACCOUNTS).add_column(column).take();
            manager.alter_table(table).await?;
        }
        manager.create_table(level_packages()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        for statement in [FILL_MONTHS, FILL_SUMS] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(PACKAGES).take()).await?;
        for column in columns() {
            let table = Table::alter()
                .table(ACCOUNTS)
                .drop_column(column.get_column_name())
                .take();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 6] {
    let month = |name: &'static str| ColumnDef::new(name).integer().not_null().default(0).take();
    let sum = |name: &'static str| ColumnDef::new(name).big_integer().not_null().default(0).take();
    let level = |name: &'static str| ColumnDef::new(name).text().take();
    [
        month("spend_month"),
        sum("spend_nano"),
        sum("spend_before_nano"),
        month("bought_month"),
        level("bought_level"),
        level("bought_before"),
    ]
}

fn level_packages() -> TableCreateStatement {
    let number = |name: &'static str| ColumnDef::new(name).big_integer().not_null().take();
    let id = |name: &'static str| ColumnDef::new(name).uuid().not_null().take();
    let bucket = |name: &'static str, column: &'static str| {
        ForeignKey::create()
            .name(name)
            .from(PACKAGES, column)
            .to("buckets", "id")
            .take()
    };
    Table::create()
        .table(PACKAGES)
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(id("account_id"))
        .col(ColumnDef::new("level").text().not_null())
        .col(number("price_nano").check(Expr::col("price_nano").gt(0)))
        .col(id("charge_bucket_id"))
        .col(id("voucher_bucket_id"))
        .col(number("voucher_expires_at_us"))
        .col(ColumnDef::new("idempotency_key").text())
        .col(ColumnDef::new("day").integer().not_null())
        .col(number("created_at_us"))
        .foreign_key(&mut bucket("level_packages_charge", "charge_bucket_id"))
        .foreign_key(&mut bucket("level_packages_voucher", "voucher_bucket_id"))
        .take()
}

fn indexes() -> [IndexCreateStatement; 3] {
    [
        Index::create()
            .name("level_packages_by_account")
            .table(PACKAGES)
            .col("account_id")
            .col("id")
            .take(),
        Index::create()
            .name("level_packages_by_key")
            .table(PACKAGES)
            .col("account_id")
            .col("idempotency_key")
            .unique()
            .take(),
        Index::create()
            .name("level_packages_by_bucket")
            .table(PACKAGES)
            .col("charge_bucket_id")
            .take(),
    ]
}
