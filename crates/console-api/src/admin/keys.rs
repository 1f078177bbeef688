//! `/admin/v1/accounts/{account}/keys`.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod update;

use jiff::Timestamp;
use serde::Serialize;
use silica_platform::{ApiKey, KeyStatus};
use silica_types::ApiKeyId;

use super::accounts::Text;
use crate::wire::KeyLimitsBody;

/// A key without its text, which nobody can show again.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct KeyView {
    /// The key's public id.
    #[schema(value_type = String)]
    id: Text<ApiKeyId>,
    /// What the key is for.
    description: String,
    /// The last four characters of the key.
    hint: String,
    /// `normal` or `disabled`.
    #[schema(value_type = String)]
    status: KeyStatus,
    /// Limits of the key; `null` when it has none of its own.
    limits: Option<KeyLimitsBody>,
    /// When the key stops working; `null` means never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When the key was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: Text(key.id),
            description: key.description.clone(),
            hint: key.hint.clone(),
            status: key.status,
            limits: key.limits.as_ref().map(KeyLimitsBody::from),
            expires_at: key.expires_at,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}
