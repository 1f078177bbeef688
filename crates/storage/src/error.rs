//! What can go wrong in storage, told apart by type: a failing driver, bad data, a broken rule.

use std::error::Error;

use sea_orm::{DbErr, RuntimeErr, sqlx};
use silica_types::Money;

use crate::InvalidDatabaseUrl;

/// A failure of storage. That a looked-up row does not exist is not one.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database url is not usable.
    #[error("the database url is not usable")]
    Url(#[from] InvalidDatabaseUrl),
    /// The driver or the server failed: worth another try later.
    #[error("the database failed to {action}")]
    Driver {
        /// What was asked of it, such as `insert an account`.
        action: &'static str,
        /// The driver's error.
        #[source]
        source: DbErr,
    },
    /// A row holds something that this version cannot read: another try will not help.
    #[error("bad data in the database: table {table}, column {column}, row {row}")]
    InvalidData {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// The row's primary key, or `?` when the driver failed before it was read.
        row: String,
        /// What is wrong with the value.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The change would break a rule that the schema keeps.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The row to change does not exist.
    #[error("table {table} has no row {row} to change")]
    MissingRow {
        /// The table.
        table: &'static str,
        /// The row's primary key.
        row: String,
    },
}

/// A rule of the schema that a change would break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another account has the e-mail address.
    #[error("the e-mail address belongs to another account")]
    EmailTaken,
    /// A row with this id exists.
    #[error("table {table} already has a row {row}")]
    IdTaken {
        /// The table.
        table: &'static str,
        /// The id.
        row: String,
    },
    /// Another key has the same hash, which chance does not bring about.
    #[error("another key has the same hash")]
    KeyHashTaken,
    /// The model belongs to another deployment.
    #[error("model {model} belongs to another deployment")]
    ModelDeployed {
        /// The model.
        model: String,
    },
    /// The idempotency key marks an earlier credit or purchase of the account that was another one.
    #[error("the idempotency key belongs to another request of the account")]
    IdempotencyKeyReused,
    /// The charge balance does not hold the price.
    #[error("the charge balance is insufficient: {needed} are needed and {available} is there")]
    ChargeInsufficient {
        /// The price.
        needed: Money,
        /// What the charge balance holds.
        available: Money,
    },
    /// The bucket would hold more than an amount of money can say.
    #[error("bucket {bucket} cannot hold that much")]
    BalanceTooLarge {
        /// The bucket.
        bucket: String,
    },
    /// A row that the change refers to does not exist.
    #[error("{what} {row} does not exist")]
    NoSuchReference {
        /// What is missing, such as `model`.
        what: &'static str,
        /// Its id.
        row: String,
    },
}

/// The kind of a broken constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Constraint {
    PrimaryKey,
    Unique,
    ForeignKey,
}

/// Returns the server's code of an error that it answered with; `None` for a failed connection.
pub(crate) fn server_code(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner))
    | DbErr::Query(RuntimeErr::SqlxError(inner))
    | DbErr::Conn(RuntimeErr::SqlxError(inner))) = error
    else {
        return None;
    };
    let code = inner.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// Returns the constraint that a statement broke, if that is why it failed.
///
/// SQLite tells the kinds apart by its extended result codes; PostgreSQL has one code for
/// uniqueness and names the constraint, which ends in `_pkey` or `-pk` for primary keys.
pub(crate) fn broken_constraint(error: &DbErr) -> Option<Constraint> {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return None;
    };
    let sqlx::Error::Database(database) = &**inner else {
        return None;
    };
    match database.code().as_deref() {
        Some("1555") => Some(Constraint::PrimaryKey),
        Some("2067") => Some(Constraint::Unique),
        Some("787" | "23503") => Some(Constraint::ForeignKey),
        Some("23505") => {
            let primary = database.constraint().is_some_and(|name| name.ends_with("pkey"));
            Some(if primary {
                Constraint::PrimaryKey
            } else {
                Constraint::Unique
            })
        }
        _ => None,
    }
}

/// Turns a driver's error into ours; a value that could not be decoded counts as bad data.
pub(crate) fn driver(action: &'static str, table: &'static str) -> impl FnOnce(DbErr) -> StorageError {
    move |source| {
        if let Some(column) = undecodable_column(&source) {
            return StorageError::InvalidData {
                table,
                column,
                row: "?".to_owned(),
                source: Box::new(source),
            };
        }
        StorageError::Driver { action, source }
    }
}

fn undecodable_column(error: &DbErr) -> Option<String> {
    match error {
        DbErr::Query(RuntimeErr::SqlxError(inner)) => match &**inner {
            sqlx::Error::ColumnDecode { index, .. } => Some(index.trim_matches('"').to_owned()),
            _ => None,
        },
        DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => Some("?".to_owned()),
        _ => None,
    }
}
