//! Table `api_keys`.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    #[sea_orm(unique)]
    pub(crate) key_hash: Vec<u8>,
    pub(crate) hint: String,
    pub(crate) description: String,
    pub(crate) status: String,
    pub(crate) limits: Option<String>,
    pub(crate) expires_at_us: Option<i64>,
    pub(crate) created_at_us: i64,
    pub(crate) updated_at_us: i64,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
