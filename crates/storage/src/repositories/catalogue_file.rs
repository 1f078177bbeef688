//! What came from the catalogue file: one row, absent until a file was applied.

use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel};

use super::convert::Row;
use crate::entities::catalogue_file::{Column, Entity, Model};
use crate::error::driver;
use crate::{CatalogueFile, Source, StorageError, Write};

const TABLE: &str = "catalogue_file";
/// The id of the one row.
const ROW: i32 = 1;
const NAMED: Row<'static> = Row {
    table: TABLE,
    id: &ROW,
};

/// Remembers a file that was applied, in place of the one before.
///
/// # Errors
/// [`StorageError::Driver`] when the database fails.
pub async fn put(write: &Write, file: &CatalogueFile) -> Result<(), StorageError> {
    let row = Model {
        id: ROW,
        path: file.path.clone(),
        models: NAMED.to_json("models", &file.models)?,
        deployments: NAMED.to_json("deployments", &file.deployments)?,
        applied_at_us: file.applied_at.as_microsecond(),
    };
    let replace = OnConflict::column(Column::Id)
        .update_columns([
            Column::Path,
            Column::Models,
            Column::Deployments,
            Column::AppliedAtUs,
        ])
        .to_owned();
    let stored = Entity::insert(row.into_active_model())
        .on_conflict(replace)
        .exec_without_returning(write.connection())
        .await
        .map_err(driver("remember the catalogue file", TABLE))?;
    NAMED.must_be_one(stored)
}

/// Returns the file that was applied last; `None` when there was none or it was forgotten.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find(source: &impl Source) -> Result<Option<CatalogueFile>, StorageError> {
    let row = Entity::find_by_id(ROW).one(&source.executor().0).await;
    let Some(model) = row.map_err(driver("look the catalogue file up", TABLE))? else {
        return Ok(None);
    };
    Ok(Some(CatalogueFile {
        models: NAMED.json("models", &model.models)?,
        deployments: NAMED.json("deployments", &model.deployments)?,
        applied_at: NAMED.time("applied_at_us", model.applied_at_us)?,
        path: model.path,
    }))
}

/// Forgets the file; what came from it stays.
///
/// # Errors
/// [`StorageError::Driver`] when the database fails.
pub async fn forget(write: &Write) -> Result<(), StorageError> {
    Entity::delete_by_id(ROW)
        .exec(write.connection())
        .await
        .map_err(driver("forget the catalogue file", TABLE))?;
    Ok(())
}
