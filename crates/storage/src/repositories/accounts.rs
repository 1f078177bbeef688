//! Accounts.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use silica_billing::{Monthly, UsageLevel};
use silica_types::{AccountId, Money};

use super::convert::Row;
use super::page::{Changed, Page, changed};
use crate::entities::account::{Column, Entity, Model};
use crate::error::{Constraint, broken_constraint, driver};
use crate::{Account, Conflict, Source, StorageError, Write};

const TABLE: &str = "accounts";

/// Stores a new account.
///
/// # Errors
/// [`Conflict::EmailTaken`] and [`Conflict::IdTaken`]; [`StorageError::Driver`] when the database fails.
pub async fn insert(write: &Write, account: &Account) -> Result<(), StorageError> {
    let row = to_row(account, write.revision());
    let result = Entity::insert(row.into_active_model())
        .exec_without_returning(write.connection())
        .await;
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(match broken_constraint(&error) {
            Some(Constraint::Unique) => Conflict::EmailTaken.into(),
            Some(Constraint::PrimaryKey) => Conflict::IdTaken {
                table: TABLE,
                row: account.id.to_string(),
            }
            .into(),
            Some(Constraint::ForeignKey) | None => driver("insert an account", TABLE)(error),
        }),
    }
}

/// Replaces the stored account that has the same id, but for what it spent, which settled calls have
/// made more since the account was read.
///
/// # Errors
/// [`StorageError::MissingRow`] when there is none, [`Conflict::EmailTaken`], or [`StorageError::Driver`].
pub async fn update(write: &Write, account: &Account) -> Result<(), StorageError> {
    let mut changed = to_row(account, write.revision()).into_active_model().reset_all();
    changed.spend_month = ActiveValue::NotSet;
    changed.spend_nano = ActiveValue::NotSet;
    changed.spend_before_nano = ActiveValue::NotSet;
    let result = Entity::update_many()
        .set(changed)
        .filter(Column::Id.eq(account.id.as_uuid()))
        .exec(write.connection())
        .await;
    let updated = result.map_err(|error| match broken_constraint(&error) {
        Some(Constraint::Unique) => Conflict::EmailTaken.into(),
        _ => driver("update an account", TABLE)(error),
    })?;
    Row {
        table: TABLE,
        id: &account.id,
    }
    .must_be_one(updated.rows_affected)
}

/// Looks an account up by its id.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find(source: &impl Source, id: AccountId) -> Result<Option<Account>, StorageError> {
    let row = Entity::find_by_id(id.as_uuid()).one(&source.executor().0).await;
    row.map_err(driver("look an account up", TABLE))?
        .map(from_row)
        .transpose()
}

/// Looks an account up by its e-mail address, which must be lower case.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find_by_email(source: &impl Source, email: &str) -> Result<Option<Account>, StorageError> {
    let row = Entity::find()
        .filter(Column::Email.eq(email))
        .one(&source.executor().0)
        .await;
    row.map_err(driver("look an account up", TABLE))?
        .map(from_row)
        .transpose()
}

/// Lists at most `limit` accounts after `cursor`, oldest first.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(
    source: &impl Source,
    cursor: Option<AccountId>,
    limit: u32,
) -> Result<Page<Account, AccountId>, StorageError> {
    let mut query = Entity::find()
        .order_by_asc(Column::Id)
        .limit(u64::from(limit) + 1);
    if let Some(after) = cursor {
        query = query.filter(Column::Id.gt(after.as_uuid()));
    }
    let rows = query
        .all(&source.executor().0)
        .await
        .map_err(driver("list accounts", TABLE))?;
    let accounts = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(accounts, limit, |account| account.id))
}

/// Lists the accounts that changed after the change with the number `revision`, with the numbers
/// of their own last changes.
///
/// # Errors
/// [`StorageError::Driver`]. A row that cannot be read is an error of its own in the list, so that
/// it does not hide the others.
pub async fn changed_since(
    source: &impl Source,
    revision: i64,
) -> Result<Vec<Changed<Account, AccountId>>, StorageError> {
    let rows = Entity::find()
        .filter(Column::Revision.gt(revision))
        .all(&source.executor().0)
        .await;
    let rows = rows.map_err(driver("list changed accounts", TABLE))?;
    Ok(rows
        .into_iter()
        .map(|row| changed(AccountId::from_uuid(row.id), row.revision, from_row(row)))
        .collect())
}

/// What the account of a row spent.
pub(super) const fn spent(model: &Model) -> Monthly<Money> {
    Monthly::new(
        model.spend_month,
        Money::from_nano(model.spend_nano),
        Money::from_nano(model.spend_before_nano),
    )
}

fn to_row(account: &Account, revision: i64) -> Model {
    let (spend, spend_before) = account.spent.both(account.spent.month());
    let (bought, bought_before) = account.bought.both(account.bought.month());
    let level = |level: UsageLevel| (level != UsageLevel::L0).then(|| level.as_str().to_owned());
    Model {
        id: account.id.as_uuid(),
        email: account.email.clone(),
        name: account.name.clone(),
        status: account.status.as_str().to_owned(),
        verified: account.verified,
        level_override: account.level_override.map(|level| level.as_str().to_owned()),
        spend_month: account.spent.month(),
        spend_nano: spend.nano(),
        spend_before_nano: spend_before.nano(),
        bought_month: account.bought.month(),
        bought_level: level(bought),
        bought_before: level(bought_before),
        created_at_us: account.created_at.as_microsecond(),
        updated_at_us: account.updated_at.as_microsecond(),
        revision,
    }
}

fn from_row(model: Model) -> Result<Account, StorageError> {
    let id = AccountId::from_uuid(model.id);
    let row = Row {
        table: TABLE,
        id: &id,
    };
    let level = |column: &'static str, text: &Option<String>| {
        text.as_deref()
            .map(|text| row.parse::<UsageLevel>(column, text))
            .transpose()
    };
    Ok(Account {
        id,
        status: row.parse("status", &model.status)?,
        verified: model.verified,
        level_override: level("level_override", &model.level_override)?,
        spent: spent(&model),
        bought: Monthly::new(
            model.bought_month,
            level("bought_level", &model.bought_level)?.unwrap_or_default(),
            level("bought_before", &model.bought_before)?.unwrap_or_default(),
        ),
        created_at: row.time("created_at_us", model.created_at_us)?,
        updated_at: row.time("updated_at_us", model.updated_at_us)?,
        email: model.email,
        name: model.name,
    })
}
