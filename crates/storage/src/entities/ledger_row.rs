//! Table `ledger`: one row a call and bucket, a credit, or the end of a voucher.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger")]
#[expect(clippy::struct_field_names, reason = "fields are named as the columns are")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) day: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) account_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) event_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) position: i32,
    pub(crate) kind: String,
    pub(crate) bucket_kind: Option<String>,
    pub(crate) bucket_id: Option<Uuid>,
    pub(crate) amount_nano: i64,
    pub(crate) shortfall_nano: i64,
    pub(crate) key_id: Option<Uuid>,
    pub(crate) model: Option<String>,
    pub(crate) units: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) price_version: Option<i64>,
    pub(crate) trace: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) started_at_us: Option<i64>,
    pub(crate) settled_at_us: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
