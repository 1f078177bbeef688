//! The nodes of a cluster: which of them are alive, by the database's clock.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::entities::node::{Column, Entity};
use crate::error::driver;
use crate::{Storage, StorageError};

const TABLE: &str = "nodes";

/// Notes that a node is alive now.
///
/// # Errors
/// [`StorageError::Driver`].
pub async fn seen(storage: &Storage, node: Uuid) -> Result<(), StorageError> {
    let now = now(storage.writer());
    let insert = Query::insert()
        .into_table(Entity)
        .columns([Column::Id, Column::SeenAtUs])
        .values_panic([node.into(), now.clone()])
        .on_conflict(
            OnConflict::column(Column::Id)
                .value(Column::SeenAtUs, now)
                .to_owned(),
        )
        .take();
    let stored = storage.writer().execute(&insert).await;
    stored
        .map(drop)
        .map_err(driver("note that a node is alive", TABLE))
}

/// Lists the nodes that were alive in the time before now.
///
/// # Errors
/// [`StorageError::Driver`].
pub async fn alive(storage: &Storage, within: Duration) -> Result<Vec<Uuid>, StorageError> {
    let within = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Expr::col(Column::SeenAtUs).gte(now(storage.reader()).sub(within)))
        .into_tuple()
        .all(storage.reader())
        .await
        .map_err(driver("list nodes that are alive", TABLE))
}

/// Forgets a node that ends in order.
///
/// # Errors
/// [`StorageError::Driver`].
pub async fn remove(storage: &Storage, node: Uuid) -> Result<(), StorageError> {
    let removed = Entity::delete_many().filter(Column::Id.eq(node));
    let removed = removed.exec(storage.writer()).await;
    removed.map(drop).map_err(driver("forget a node", TABLE))
}

/// The database's own time, in microseconds.
fn now(connection: &impl ConnectionTrait) -> Expr {
    Expr::cust(match connection.get_database_backend() {
        DbBackend::Sqlite => "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)",
        _ => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    })
}
