//! Table `accounts`.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    #[sea_orm(unique)]
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) verified: bool,
    pub(crate) level_override: Option<String>,
    pub(crate) spend_month: i32,
    pub(crate) spend_nano: i64,
    pub(crate) spend_before_nano: i64,
    pub(crate) bought_month: i32,
    pub(crate) bought_level: Option<String>,
    pub(crate) bought_before: Option<String>,
    pub(crate) created_at_us: i64,
    pub(crate) updated_at_us: i64,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
