//! Table `level_packages`, which only grows.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "level_packages")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) level: String,
    pub(crate) price_nano: i64,
    pub(crate) charge_bucket_id: Uuid,
    pub(crate) voucher_bucket_id: Uuid,
    pub(crate) voucher_expires_at_us: i64,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) day: i32,
    pub(crate) created_at_us: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
