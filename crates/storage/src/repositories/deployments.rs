//! Deployments with their models.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, Iterable, QueryFilter, QueryOrder,
};
use silica_types::ModelName;

use super::convert::Row;
use crate::entities::deployment::{Column, Entity, Model};
use crate::entities::deployment_model as link;
use crate::error::{Constraint, broken_constraint, driver};
use crate::{Conflict, Deployment, ReplicaSpec, Source, StorageError, Write};

const TABLE: &str = "deployments";
const LINKS: &str = "deployment_models";

/// Stores a deployment, in place of one with the same name; the time of creation stays that of the first.
///
/// # Errors
/// [`Conflict::ModelDeployed`], [`Conflict::NoSuchReference`] for an unknown model,
/// [`StorageError::InvalidData`] for a key that is not sealed, or [`StorageError::Driver`].
/// After an error the change can only be dropped.
pub async fn put(write: &Write, deployment: &Deployment) -> Result<(), StorageError> {
    let row = to_row(deployment, write.revision())?;
    let kept = |column: &Column| !matches!(column, Column::Name | Column::CreatedAtUs);
    let replace = OnConflict::column(Column::Name)
        .update_columns(Column::iter().filter(kept))
        .to_owned();
    let stored = Entity::insert(row.into_active_model())
        .on_conflict(replace)
        .exec_without_returning(write.connection())
        .await
        .map_err(driver("store a deployment", TABLE))?;
    Row {
        table: TABLE,
        id: &deployment.name,
    }
    .must_be_one(stored)?;
    put_links(write, deployment).await
}

/// Replaces the list of the deployment's models.
async fn put_links(write: &Write, deployment: &Deployment) -> Result<(), StorageError> {
    link::Entity::delete_many()
        .filter(link::Column::DeploymentName.eq(deployment.name.as_str()))
        .exec(write.connection())
        .await
        .map_err(driver("replace the models of a deployment", LINKS))?;
    for (position, model) in (0..).zip(&deployment.models) {
        let row = link::ActiveModel {
            model_id: Set(model.as_str().to_owned()),
            deployment_name: Set(deployment.name.clone()),
            position: Set(position),
        };
        let result = link::Entity::insert(row)
            .exec_without_returning(write.connection())
            .await;
        result.map_err(|error| match broken_constraint(&error) {
            Some(Constraint::PrimaryKey | Constraint::Unique) => Conflict::ModelDeployed {
                model: model.to_string(),
            }
            .into(),
            Some(Constraint::ForeignKey) => Conflict::NoSuchReference {
                what: "model",
                row: model.to_string(),
            }
            .into(),
            None => driver("store the models of a deployment", LINKS)(error),
        })?;
    }
    Ok(())
}

/// Replaces the engines of a deployment and leaves the rest as it is, also the time of its last change.
///
/// # Errors
/// [`StorageError::MissingRow`] when there is no such deployment, [`StorageError::InvalidData`] for a
/// key that is not sealed, or [`StorageError::Driver`].
pub async fn replace_replicas(
    write: &Write,
    name: &str,
    replicas: &[ReplicaSpec],
) -> Result<(), StorageError> {
    let row = Row {
        table: TABLE,
        id: &name,
    };
    let stored = Entity::update_many()
        .col_expr(Column::Replicas, Expr::value(row.to_json("replicas", replicas)?))
        .col_expr(Column::Revision, Expr::value(write.revision()))
        .filter(Column::Name.eq(name))
        .exec(write.connection())
        .await
        .map_err(driver("replace the engines of a deployment", TABLE))?;
    row.must_be_one(stored.rows_affected)
}

/// Deletes a deployment and says whether it existed. Its models stay in the catalogue.
///
/// # Errors
/// [`StorageError::Driver`] when the database fails.
pub async fn delete(write: &Write, name: &str) -> Result<bool, StorageError> {
    let result = Entity::delete_by_id(name).exec(write.connection()).await;
    Ok(result
        .map_err(driver("delete a deployment", TABLE))?
        .rows_affected
        > 0)
}

/// Looks a deployment up by its name.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find(source: &impl Source, name: &str) -> Result<Option<Deployment>, StorageError> {
    let executor = source.executor();
    let Some(row) = Entity::find_by_id(name)
        .one(&executor.0)
        .await
        .map_err(driver("look a deployment up", TABLE))?
    else {
        return Ok(None);
    };
    let links = link::Entity::find()
        .filter(link::Column::DeploymentName.eq(name))
        .order_by_asc(link::Column::Position)
        .all(&executor.0)
        .await
        .map_err(driver("list the models of a deployment", LINKS))?;
    from_row(row, &links).map(Some)
}

/// Lists all deployments by name. Read it from a [`crate::Snapshot`] when others may write.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(source: &impl Source) -> Result<Vec<Deployment>, StorageError> {
    let executor = source.executor();
    let rows = Entity::find()
        .all(&executor.0)
        .await
        .map_err(driver("list deployments", TABLE))?;
    let links = link::Entity::find()
        .order_by_asc(link::Column::Position)
        .all(&executor.0)
        .await
        .map_err(driver("list the models of deployments", LINKS))?;
    let mut models: HashMap<String, Vec<link::Model>> = HashMap::new();
    for link in links {
        models.entry(link.deployment_name.clone()).or_default().push(link);
    }
    let deployments = rows.into_iter().map(|row| {
        let links = models.remove(&row.name).unwrap_or_default();
        from_row(row, &links)
    });
    let mut deployments = deployments.collect::<Result<Vec<_>, _>>()?;
    // Sorted here: PostgreSQL would sort by the collation of its locale.
    deployments.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(deployments)
}

fn to_row(deployment: &Deployment, revision: i64) -> Result<Model, StorageError> {
    let row = Row {
        table: TABLE,
        id: &deployment.name,
    };
    Ok(Model {
        name: deployment.name.clone(),
        policy: deployment.policy.as_str().to_owned(),
        replicas: row.to_json("replicas", &deployment.replicas)?,
        fallbacks: row.to_json("fallbacks", &deployment.fallbacks)?,
        created_at_us: deployment.created_at.as_microsecond(),
        updated_at_us: deployment.updated_at.as_microsecond(),
        revision,
    })
}

fn from_row(model: Model, links: &[link::Model]) -> Result<Deployment, StorageError> {
    let row = Row {
        table: TABLE,
        id: &model.name,
    };
    let models = links.iter().map(|link| {
        ModelName::new(&link.model_id).map_err(|error| {
            Row {
                table: LINKS,
                id: &link.model_id,
            }
            .invalid("model_id", error)
        })
    });
    Ok(Deployment {
        models: models.collect::<Result<_, _>>()?,
        policy: row.parse("policy", &model.policy)?,
        replicas: row.json("replicas", &model.replicas)?,
        fallbacks: row.json("fallbacks", &model.fallbacks)?,
        created_at: row.time("created_at_us", model.created_at_us)?,
        updated_at: row.time("updated_at_us", model.updated_at_us)?,
        name: model.name,
    })
}
