//! Table `catalogue_models`. Lists, prices and limits are JSON text; prices are strings in it.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "catalogue_models")]
#[expect(clippy::struct_field_names, reason = "fields are named as the columns are")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) model_type: String,
    pub(crate) sub_type: String,
    pub(crate) context_length: Option<i64>,
    pub(crate) features: String,
    pub(crate) vision: Option<String>,
    pub(crate) tags: String,
    pub(crate) price: String,
    pub(crate) limits: Option<String>,
    pub(crate) real_name: bool,
    pub(crate) charge_only: bool,
    pub(crate) status: String,
    pub(crate) description: String,
    pub(crate) created_at_us: i64,
    pub(crate) updated_at_us: i64,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
