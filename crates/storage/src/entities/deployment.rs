//! Table `deployments`. Replicas and fallbacks are JSON text: they are only read and
//! written together.

use sea_orm::entity::prelude::*;

/// One row. No `Debug` output may reach a log: the replicas hold upstream keys.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deployments")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) replicas: String,
    pub(crate) fallbacks: String,
    pub(crate) created_at_us: i64,
    pub(crate) updated_at_us: i64,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
