//! Table `prices`, which only grows. Prices are JSON text; amounts are strings in it.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prices")]
#[expect(clippy::struct_field_names, reason = "fields are named as the columns are")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) version: i64,
    pub(crate) model: String,
    pub(crate) mode: Option<String>,
    pub(crate) list: String,
    pub(crate) promotional: Option<String>,
    pub(crate) badge: Option<String>,
    pub(crate) effective_from_us: i64,
    pub(crate) effective_until_us: Option<i64>,
    pub(crate) created_at_us: i64,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
