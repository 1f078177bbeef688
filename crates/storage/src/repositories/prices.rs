//! The price book.

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use silica_billing::{Price, PriceVersion};
use silica_types::ModelName;

use super::convert::Row;
use super::page::Page;
use crate::entities::price::{ActiveModel, Column, Entity, Model};
use crate::error::{Constraint, broken_constraint, driver};
use crate::{Conflict, PriceRecord, Source, StorageError, Write};

const TABLE: &str = "prices";

/// Stores a new entry and returns its number, larger than that of every entry before.
///
/// # Errors
/// [`Conflict::NoSuchReference`] for an unknown model, or [`StorageError::Driver`].
pub async fn insert(write: &Write, price: &PriceRecord) -> Result<PriceVersion, StorageError> {
    let new = to_row(price, write.revision())?;
    let stored = Entity::insert(new).exec(write.connection()).await;
    let stored = stored.map_err(|error| match broken_constraint(&error) {
        Some(Constraint::ForeignKey) => Conflict::NoSuchReference {
            what: "model",
            row: price.model.to_string(),
        }
        .into(),
        _ => driver("insert a price", TABLE)(error),
    })?;
    Ok(PriceVersion(stored.last_insert_id))
}

/// Lists every entry, oldest first.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn all(source: &impl Source) -> Result<Vec<(PriceVersion, PriceRecord)>, StorageError> {
    let rows = Entity::find()
        .order_by_asc(Column::Version)
        .all(&source.executor().0)
        .await
        .map_err(driver("list prices", TABLE))?;
    rows.into_iter().map(from_row).collect()
}

/// Lists at most `limit` entries, of one model or of all, after the entry `after`, oldest first.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(
    source: &impl Source,
    model: Option<&ModelName>,
    after: Option<PriceVersion>,
    limit: u32,
) -> Result<Page<(PriceVersion, PriceRecord), PriceVersion>, StorageError> {
    let mut query = Entity::find().order_by_asc(Column::Version);
    if let Some(model) = model {
        query = query.filter(Column::Model.eq(model.as_str()));
    }
    if let Some(after) = after {
        query = query.filter(Column::Version.gt(after.0));
    }
    let rows = query
        .limit(u64::from(limit) + 1)
        .all(&source.executor().0)
        .await
        .map_err(driver("list a page of prices", TABLE))?;
    let rows = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, limit, |(version, _)| *version))
}

/// Lists the entries of a model, oldest first.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn of_model(
    source: &impl Source,
    model: &ModelName,
) -> Result<Vec<(PriceVersion, PriceRecord)>, StorageError> {
    let rows = Entity::find()
        .filter(Column::Model.eq(model.as_str()))
        .order_by_asc(Column::Version)
        .all(&source.executor().0)
        .await
        .map_err(driver("list the prices of a model", TABLE))?;
    rows.into_iter().map(from_row).collect()
}

fn to_row(price: &PriceRecord, revision: i64) -> Result<ActiveModel, StorageError> {
    let row = Row {
        table: TABLE,
        id: &price.model,
    };
    Ok(ActiveModel {
        version: NotSet,
        model: Set(price.model.as_str().to_owned()),
        mode: Set(price.mode.clone()),
        list: Set(row.to_json("list", &price.list)?),
        promotional: Set(price
            .promotional
            .as_ref()
            .map(|promotional| row.to_json("promotional", promotional))
            .transpose()?),
        badge: Set(price.badge.clone()),
        effective_from_us: Set(price.effective_from.as_microsecond()),
        effective_until_us: Set(price.effective_until.map(jiff::Timestamp::as_microsecond)),
        created_at_us: Set(price.created_at.as_microsecond()),
        revision: Set(revision),
    })
}

fn from_row(model: Model) -> Result<(PriceVersion, PriceRecord), StorageError> {
    let row = Row {
        table: TABLE,
        id: &model.version,
    };
    let promotional = model.promotional.as_deref();
    let record = PriceRecord {
        model: ModelName::new(&model.model).map_err(|error| row.invalid("model", error))?,
        list: row.json("list", &model.list)?,
        promotional: promotional
            .map(|text| row.json::<Price>("promotional", text))
            .transpose()?,
        effective_from: row.time("effective_from_us", model.effective_from_us)?,
        effective_until: model
            .effective_until_us
            .map(|time| row.time("effective_until_us", time))
            .transpose()?,
        created_at: row.time("created_at_us", model.created_at_us)?,
        mode: model.mode,
        badge: model.badge,
    };
    Ok((PriceVersion(model.version), record))
}
