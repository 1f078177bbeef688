//! API keys. Deleted keys stay as rows, but only [`changed_since`] shows them.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use silica_types::{AccountId, ApiKeyId};

use super::convert::Row;
use super::page::{Changed, Page, changed};
use crate::entities::api_key::{Column, Entity, Model};
use crate::error::{Constraint, broken_constraint, driver};
use crate::{ApiKey, Conflict, KeyHash, KeyStatus, Source, StorageError, Write};

const TABLE: &str = "api_keys";
/// 32,766 values are the most that SQLite takes.
const IDS_OF_ONE_LOOK: usize = 1000;

/// Stores a new key.
///
/// # Errors
/// [`Conflict::KeyHashTaken`], [`Conflict::IdTaken`], [`Conflict::NoSuchReference`] for an unknown
/// account, or [`StorageError::Driver`].
pub async fn insert(write: &Write, key: &ApiKey) -> Result<(), StorageError> {
    let row = to_row(key, write.revision())?;
    let result = Entity::insert(row.into_active_model())
        .exec_without_returning(write.connection())
        .await;
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(match broken_constraint(&error) {
            Some(Constraint::Unique) => Conflict::KeyHashTaken.into(),
            Some(Constraint::PrimaryKey) => Conflict::IdTaken {
                table: TABLE,
                row: key.id.to_string(),
            }
            .into(),
            Some(Constraint::ForeignKey) => Conflict::NoSuchReference {
                what: "account",
                row: key.account.to_string(),
            }
            .into(),
            None => driver("insert a key", TABLE)(error),
        }),
    }
}

/// Replaces the stored key that has the same id.
///
/// # Errors
/// [`StorageError::MissingRow`] when there is none, or [`StorageError::Driver`].
pub async fn update(write: &Write, key: &ApiKey) -> Result<(), StorageError> {
    let changed = to_row(key, write.revision())?.into_active_model().reset_all();
    let result = Entity::update_many()
        .set(changed)
        .filter(Column::Id.eq(key.id.as_uuid()))
        .exec(write.connection())
        .await;
    let updated = result.map_err(driver("update a key", TABLE))?;
    Row {
        table: TABLE,
        id: &key.id,
    }
    .must_be_one(updated.rows_affected)
}

/// Looks up a key of an account, unless it was deleted.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find(
    source: &impl Source,
    account: AccountId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StorageError> {
    let row = Entity::find_by_id(id.as_uuid())
        .filter(Column::AccountId.eq(account.as_uuid()))
        .filter(Column::Status.ne(KeyStatus::Deleted.as_str()))
        .one(&source.executor().0)
        .await;
    row.map_err(driver("look a key up", TABLE))?
        .map(from_row)
        .transpose()
}

/// Looks several keys of an account up, deleted ones too, so that old bills can name them. Those
/// that do not exist are left out.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find_all(
    source: &impl Source,
    account: AccountId,
    ids: &[ApiKeyId],
) -> Result<Vec<ApiKey>, StorageError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_OF_ONE_LOOK) {
        let rows = Entity::find()
            .filter(Column::AccountId.eq(account.as_uuid()))
            .filter(Column::Id.is_in(ids.iter().map(|id| id.as_uuid())))
            .all(&source.executor().0)
            .await
            .map_err(driver("look keys up", TABLE))?;
        for row in rows {
            found.push(from_row(row)?);
        }
    }
    Ok(found)
}

/// Lists at most `limit` keys of an account after `cursor`, oldest first, without the deleted ones.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(
    source: &impl Source,
    account: AccountId,
    cursor: Option<ApiKeyId>,
    limit: u32,
) -> Result<Page<ApiKey, ApiKeyId>, StorageError> {
    let mut query = Entity::find()
        .filter(Column::AccountId.eq(account.as_uuid()))
        .filter(Column::Status.ne(KeyStatus::Deleted.as_str()))
        .order_by_asc(Column::Id)
        .limit(u64::from(limit) + 1);
    if let Some(after) = cursor {
        query = query.filter(Column::Id.gt(after.as_uuid()));
    }
    let rows = query
        .all(&source.executor().0)
        .await
        .map_err(driver("list keys", TABLE))?;
    let keys = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(keys, limit, |key| key.id))
}

/// Lists the keys that changed after the change with the number `revision`, deleted ones too,
/// with the numbers of their own last changes.
///
/// # Errors
/// [`StorageError::Driver`]. A row that cannot be read is an error of its own in the list, so that
/// it does not hide the others.
pub async fn changed_since(
    source: &impl Source,
    revision: i64,
) -> Result<Vec<Changed<ApiKey, ApiKeyId>>, StorageError> {
    let rows = Entity::find()
        .filter(Column::Revision.gt(revision))
        .all(&source.executor().0)
        .await;
    let rows = rows.map_err(driver("list changed keys", TABLE))?;
    Ok(rows
        .into_iter()
        .map(|row| changed(ApiKeyId::from_uuid(row.id), row.revision, from_row(row)))
        .collect())
}

fn to_row(key: &ApiKey, revision: i64) -> Result<Model, StorageError> {
    let row = Row {
        table: TABLE,
        id: &key.id,
    };
    Ok(Model {
        id: key.id.as_uuid(),
        account_id: key.account.as_uuid(),
        key_hash: key.hash.0.to_vec(),
        hint: key.hint.clone(),
        description: key.description.clone(),
        status: key.status.as_str().to_owned(),
        limits: key
            .limits
            .as_ref()
            .map(|limits| row.to_json("limits", limits))
            .transpose()?,
        expires_at_us: key.expires_at.map(jiff::Timestamp::as_microsecond),
        created_at_us: key.created_at.as_microsecond(),
        updated_at_us: key.updated_at.as_microsecond(),
        revision,
    })
}

fn from_row(model: Model) -> Result<ApiKey, StorageError> {
    let id = ApiKeyId::from_uuid(model.id);
    let row = Row {
        table: TABLE,
        id: &id,
    };
    let hash =
        <[u8; 32]>::try_from(model.key_hash.as_slice()).map_err(|error| row.invalid("key_hash", error))?;
    Ok(ApiKey {
        id,
        account: AccountId::from_uuid(model.account_id),
        hash: KeyHash(hash),
        status: row.parse("status", &model.status)?,
        limits: model
            .limits
            .as_deref()
            .map(|text| row.json("limits", text))
            .transpose()?,
        expires_at: model
            .expires_at_us
            .map(|time| row.time("expires_at_us", time))
            .transpose()?,
        created_at: row.time("created_at_us", model.created_at_us)?,
        updated_at: row.time("updated_at_us", model.updated_at_us)?,
        hint: model.hint,
        description: model.description,
    })
}
