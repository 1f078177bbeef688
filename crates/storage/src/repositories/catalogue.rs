//! Catalogue models.

use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel, Iterable};
use silica_types::ModelName;

use super::convert::Row;
use crate::entities::catalogue_model::{Column, Entity, Model};
use crate::error::driver;
use crate::{CatalogueModel, Source, StorageError, Write};

const TABLE: &str = "catalogue_models";

/// Stores a model, in place of one with the same id; the time of creation stays that of the first.
///
/// # Errors
/// [`StorageError::Driver`] when the database fails.
pub async fn put(write: &Write, model: &CatalogueModel) -> Result<(), StorageError> {
    let row = to_row(model, write.revision())?;
    let kept = |column: &Column| !matches!(column, Column::Id | Column::CreatedAtUs);
    let replace = OnConflict::column(Column::Id)
        .update_columns(Column::iter().filter(kept))
        .to_owned();
    let stored = Entity::insert(row.into_active_model())
        .on_conflict(replace)
        .exec_without_returning(write.connection())
        .await
        .map_err(driver("store a model", TABLE))?;
    Row {
        table: TABLE,
        id: &model.id,
    }
    .must_be_one(stored)
}

/// Looks a model up by its id.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find(source: &impl Source, id: &ModelName) -> Result<Option<CatalogueModel>, StorageError> {
    let row = Entity::find_by_id(id.as_str()).one(&source.executor().0).await;
    row.map_err(driver("look a model up", TABLE))?
        .map(|model| from_row(&model))
        .transpose()
}

/// Lists all models, oldest first, those of one moment by id.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(source: &impl Source) -> Result<Vec<CatalogueModel>, StorageError> {
    let rows = Entity::find()
        .all(&source.executor().0)
        .await
        .map_err(driver("list models", TABLE))?;
    let mut models = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    // Sorted here: PostgreSQL would sort ids by the collation of its locale.
    models.sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
    Ok(models)
}

fn to_row(model: &CatalogueModel, revision: i64) -> Result<Model, StorageError> {
    let row = Row {
        table: TABLE,
        id: &model.id,
    };
    Ok(Model {
        id: model.id.as_str().to_owned(),
        model_type: model.model_type.as_str().to_owned(),
        sub_type: model.sub_type.as_str().to_owned(),
        context_length: model.context_length.map(i64::from),
        features: row.to_json("features", &model.features)?,
        vision: model.vision.map(|rule| rule.as_str().to_owned()),
        tags: row.to_json("tags", &model.tags)?,
        price: row.to_json("price", &model.price)?,
        limits: model
            .limits
            .as_ref()
            .map(|limits| row.to_json("limits", limits))
            .transpose()?,
        real_name: model.real_name,
        charge_only: model.charge_only,
        status: model.status.as_str().to_owned(),
        description: model.description.clone(),
        created_at_us: model.created_at.as_microsecond(),
        updated_at_us: model.updated_at.as_microsecond(),
        revision,
    })
}

fn from_row(model: &Model) -> Result<CatalogueModel, StorageError> {
    let row = Row {
        table: TABLE,
        id: &model.id,
    };
    let context = model.context_length.map(u32::try_from).transpose();
    Ok(CatalogueModel {
        id: ModelName::new(&model.id).map_err(|error| row.invalid("id", error))?,
        model_type: row.parse("model_type", &model.model_type)?,
        sub_type: row.parse("sub_type", &model.sub_type)?,
        context_length: context.map_err(|error| row.invalid("context_length", error))?,
        features: row.json("features", &model.features)?,
        vision: model
            .vision
            .as_deref()
            .map(|rule| row.parse("vision", rule))
            .transpose()?,
        tags: row.json("tags", &model.tags)?,
        price: row.json("price", &model.price)?,
        limits: model
            .limits
            .as_deref()
            .map(|text| row.json("limits", text))
            .transpose()?,
        real_name: model.real_name,
        charge_only: model.charge_only,
        status: row.parse("status", &model.status)?,
        description: model.description.clone(),
        created_at: row.time("created_at_us", model.created_at_us)?,
        updated_at: row.time("updated_at_us", model.updated_at_us)?,
    })
}
