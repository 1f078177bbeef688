//! The change counters, which other processes poll.

use sea_orm::{ConnectionTrait, EntityTrait};

use crate::entities::revision;
use crate::error::driver;
use crate::{Source, StorageError};

/// The id of the one row.
pub(crate) const ROW: i32 = 1;

/// The numbers of the last committed changes; zero before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Of any change.
    pub latest: i64,
    /// Of the last change of models or deployments.
    pub catalogue: i64,
}

/// Reads the counters.
///
/// # Errors
/// [`StorageError::Driver`] when the database fails, [`StorageError::MissingRow`] when somebody deleted the row.
pub async fn current(source: &impl Source) -> Result<Revisions, StorageError> {
    read(&source.executor().0).await
}

pub(crate) async fn read(connection: &impl ConnectionTrait) -> Result<Revisions, StorageError> {
    let row = revision::Entity::find_by_id(ROW)
        .one(connection)
        .await
        .map_err(driver("read the change counters", "revisions"))?
        .ok_or_else(|| StorageError::MissingRow {
            table: "revisions",
            row: ROW.to_string(),
        })?;
    Ok(Revisions {
        latest: row.revision,
        catalogue: row.catalogue_revision,
    })
}
