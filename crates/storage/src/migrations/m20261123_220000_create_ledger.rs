//! Creates the price book, buckets of money, credits, the ledger with its roll-ups.
//!
//! Money is whole nano-CNY in 64-bit integers, days are numbers `yyyymmdd`. The ledger keeps one
//! row a call and bucket: in PostgreSQL one partition a day, made as the days come, with a default
//! partition for the rest; in SQLite clustered by day. Bills read the roll-ups only.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// The partition for rows of days that have none of their own.
const REST: &str = "ledger_rest";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_sqlite = manager.get_database_backend() == DbBackend::Sqlite;
        let clustered = [ledger(), usage_days(), bucket_days()].map(|mut table| {
            if is_sqlite {
                table.extra("WITHOUT ROWID");
            }
            table
        });
        let [mut ledger, usage_days, bucket_days] = clustered;
        if !is_sqlite {
            ledger.partition_by_range(["day"]);
        }
        for table in [
            prices(),
            buckets(),
            credits(),
            ledger,
            usage_days,
            bucket_days,
            ledger_state(),
        ] {
            manager.create_table(table).await?;
        }
        if !is_sqlite {
            let rest = Table::create()
                .table(REST)
                .partition_of("ledger")
                .extra("DEFAULT")
                .take();
            manager.create_table(rest).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let first = Query::insert()
            .into_table("ledger_state")
            .columns(["id", "first_kept_day"])
            .values_panic([1.into(), 0.into()])
            .to_owned();
        manager.execute(first).await?;
        // They had the form of a model's limits, which a key cannot have any more, and nothing has
        // enforced them so far.
        let forget_key_limits = Query::update()
            .table("api_keys")
            .value("limits", Option::<String>::None)
            .to_owned();
        manager.execute(forget_key_limits).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "ledger_state",
            "bucket_days",
            "usage_days",
            "ledger",
            "credits",
            "buckets",
            "prices",
        ] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}

fn prices() -> TableCreateStatement {
    Table::create()
        .table("prices")
        .col(
            ColumnDef::new("version")
                .big_integer()
                .not_null()
                .auto_increment()
                .primary_key(),
        )
        .col(text("model"))
        .col(ColumnDef::new("mode").text())
        .col(text("list"))
        .col(ColumnDef::new("promotional").text())
        .col(ColumnDef::new("badge").text())
        .col(number("effective_from_us"))
        .col(ColumnDef::new("effective_until_us").big_integer())
        .col(number("created_at_us"))
        .col(number("revision"))
        .foreign_key(
            ForeignKey::create()
                .name("prices_model")
                .from("prices", "model")
                .to("catalogue_models", "id"),
        )
        .take()
}

fn buckets() -> TableCreateStatement {
    Table::create()
        .table("buckets")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(id("account_id"))
        .col(text("kind"))
        .col(number("balance_nano").check(Expr::col("balance_nano").gte(0)))
        .col(ColumnDef::new("expires_at_us").big_integer())
        // Set when an ended voucher is closed, with what was left in it then.
        .col(ColumnDef::new("expired_day").integer())
        .col(number("expired_nano").check(Expr::col("expired_nano").gte(0)))
        .col(number("version"))
        .col(number("created_at_us"))
        .col(number("revision"))
        .foreign_key(
            ForeignKey::create()
                .name("buckets_account")
                .from("buckets", "account_id")
                .to("accounts", "id"),
        )
        .take()
}

fn credits() -> TableCreateStatement {
    Table::create()
        .table("credits")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(id("account_id"))
        .col(id("bucket_id"))
        .col(text("kind"))
        .col(number("amount_nano").check(Expr::col("amount_nano").gt(0)))
        .col(ColumnDef::new("expires_at_us").big_integer())
        .col(ColumnDef::new("idempotency_key").text())
        .col(day())
        .col(number("created_at_us"))
        .col(number("revision"))
        .foreign_key(
            ForeignKey::create()
                .name("credits_bucket")
                .from("credits", "bucket_id")
                .to("buckets", "id"),
        )
        .take()
}

fn ledger() -> TableCreateStatement {
    Table::create()
        .table("ledger")
        .col(day())
        .col(id("account_id"))
        .col(id("event_id"))
        .col(ColumnDef::new("position").integer().not_null())
        .col(text("kind"))
        .col(ColumnDef::new("bucket_kind").text())
        .col(ColumnDef::new("bucket_id").uuid())
        .col(number("amount_nano"))
        .col(number("shortfall_nano"))
        .col(ColumnDef::new("key_id").uuid())
        .col(ColumnDef::new("model").text())
        .col(ColumnDef::new("units").text())
        .col(ColumnDef::new("source").text())
        .col(ColumnDef::new("price_version").big_integer())
        .col(ColumnDef::new("trace").text())
        .col(ColumnDef::new("status").text())
        .col(ColumnDef::new("started_at_us").big_integer())
        .col(number("settled_at_us"))
        .primary_key(&mut key(
            "ledger_pkey",
            &["day", "account_id", "event_id", "position"],
        ))
        .take()
}

/// The key begins with the account, because a bill is of one account.
fn usage_days() -> TableCreateStatement {
    let mut table = Table::create()
        .table("usage_days")
        .col(id("account_id"))
        .col(day())
        .col(id("key_id"))
        .col(text("model"))
        .take();
    for column in [
        "calls",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "reasoning_tokens",
        "images",
        "pixel_steps",
        "videos",
        "text_bytes",
        "milliseconds",
        "training_tokens",
        "voucher_nano",
        "gift_nano",
        "charge_nano",
        "shortfall_nano",
    ] {
        table.col(number(column));
    }
    table
        .primary_key(&mut key(
            "usage_days_pkey",
            &["account_id", "day", "key_id", "model"],
        ))
        .take()
}

fn bucket_days() -> TableCreateStatement {
    Table::create()
        .table("bucket_days")
        .col(id("bucket_id"))
        .col(day())
        .col(number("spent_nano"))
        .primary_key(&mut key("bucket_days_pkey", &["bucket_id", "day"]))
        .take()
}

/// One row: since which day the ledger has all rows of calls.
fn ledger_state() -> TableCreateStatement {
    Table::create()
        .table("ledger_state")
        .col(ColumnDef::new("id").integer().not_null().primary_key())
        .col(ColumnDef::new("first_kept_day").integer().not_null())
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &str, table: &str, columns: &[&str]| {
        let mut index = Index::create().name(name).table(table.to_owned()).take();
        for column in columns {
            index.col((*column).to_owned());
        }
        index
    };
    vec![
        index("prices_by_model", "prices", &["model"]),
        index("prices_by_revision", "prices", &["revision"]),
        index("buckets_by_revision", "buckets", &["revision"]),
        index("buckets_by_account", "buckets", &["account_id"]),
        // An account has one gift and one charge bucket.
        index("buckets_one_of_a_kind", "buckets", &["account_id", "kind"])
            .unique()
            .and_where(Expr::col("kind").ne("voucher"))
            .take(),
        index("buckets_by_end", "buckets", &["expires_at_us"])
            .and_where(Expr::col("expires_at_us").is_not_null())
            .and_where(Expr::col("expired_day").is_null())
            .take(),
        index(
            "buckets_by_expired_day",
            "buckets",
            &["account_id", "expired_day"],
        )
        .and_where(Expr::col("expired_day").is_not_null())
        .take(),
        index("credits_by_key", "credits", &["account_id", "idempotency_key"])
            .unique()
            .take(),
        index("credits_by_bucket", "credits", &["bucket_id"]),
        index("credits_by_day", "credits", &["account_id", "day"]),
        // The few rows that stay when a day's calls are deleted.
        index("ledger_kept", "ledger", &["day"])
            .and_where(Expr::col("kind").ne("call"))
            .take(),
        index(
            "usage_days_by_day",
            "usage_days",
            &["day", "account_id", "key_id", "model"],
        ),
    ]
}

fn key(name: &str, columns: &[&str]) -> IndexCreateStatement {
    let mut key = Index::create().name(name).primary().take();
    for column in columns {
        key.col((*column).to_owned());
    }
    key
}

fn id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().not_null().take()
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

fn day() -> ColumnDef {
    ColumnDef::new("day").integer().not_null().take()
}
