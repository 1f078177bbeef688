//! Table `usage_days`: what a day of calls sums up to, by account, key and model.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_days")]
#[expect(clippy::struct_field_names, reason = "fields are named as the columns are")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) account_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) day: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) key_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) model: String,
    pub(crate) calls: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) cached_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) reasoning_tokens: i64,
    pub(crate) images: i64,
    pub(crate) pixel_steps: i64,
    pub(crate) videos: i64,
    pub(crate) text_bytes: i64,
    pub(crate) milliseconds: i64,
    pub(crate) training_tokens: i64,
    pub(crate) voucher_nano: i64,
    pub(crate) gift_nano: i64,
    pub(crate) charge_nano: i64,
    pub(crate) shortfall_nano: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
