//! Writes rows into an empty target.

use std::collections::BTreeSet;

use sea_orm::sea_query::Value;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, IdenStatic, IntoActiveModel, Iterable, ModelTrait, PrimaryKeyToColumn,
    PrimaryKeyTrait, QuerySelect, QueryTrait, Statement,
};
use silica_billing::BillingDay;

use super::content::{Content, Contents, Counts, failed};
use super::pages::{Pages, ledger_days};
use super::side::Side;
use super::tables::{Table, Visitor, visit};
use super::{Progress, Step, TransferError};
use crate::entities::{ledger_row, ledger_state, revision};
use crate::repositories::convert::sizes;
use crate::repositories::ledger;

/// The most days that get partitions of their own: one transaction locks each of them with its indexes,
/// and PostgreSQL has room for about six thousand locks. Rows of earlier days go to the rest, where
/// deleting them takes longer and nothing else does.
const MOST_PARTITIONS: usize = 731;
/// Makes our statements differ from those of the migrations, which this very connection may have run:
/// the driver keeps prepared statements by their text, and with them the types of their values.
const OURS: &str = " -- move";
/// The next value of a column that PostgreSQL numbers by itself comes after this one.
const SET_SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence($1, $2), $3)";

/// Copies every table.
pub(super) struct Copier<'run> {
    source: Side<'run>,
    target: Side<'run>,
    counts: &'run Counts,
    tell: &'run mut dyn FnMut(Progress),
    copied: Vec<(&'static str, Content)>,
}

impl<'run> Copier<'run> {
    /// Copies everything; returns what was read.
    pub(super) async fn copy(
        source: Side<'run>,
        target: Side<'run>,
        counts: &'run Counts,
        tell: &'run mut dyn FnMut(Progress),
    ) -> Result<Contents, TransferError> {
        let mut copier = Self {
            source,
            target,
            counts,
            tell,
            copied: Vec::new(),
        };
        visit(&mut copier).await?;
        // Without its statistics PostgreSQL would plan the comparison, and the first hours of a server,
        // for empty tables.
        if target.is_postgres() {
            let analyzed = target.0.execute_unprepared("ANALYZE").await;
            analyzed.map_err(failed::<revision::Entity>("analyze the tables"))?;
        }
        Ok(Contents(copier.copied))
    }

    async fn rows<E: Table>(&mut self) -> Result<Content, TransferError> {
        let (reading, writing) = (failed::<E>("read rows"), failed::<E>("store rows"));
        let mut content = Content::default();
        let mut last = None;
        let mut pages = Pages::<E>::of(self.source).await.map_err(&reading)?;
        while let Some(rows) = pages.next().await.map_err(&reading)? {
            for row in &rows {
                content.add(row);
            }
            last = rows.last().cloned().or(last);
            insert::<E>(self.target, rows).await.map_err(&writing)?;
            (self.tell)(Progress {
                step: Step::Copying,
                table: E::name(),
                rows: content.rows(),
                of: self.counts.of_table(E::name()),
            });
        }
        if let Some(last) = last.filter(|_| self.target.is_postgres()) {
            set_sequence::<E>(self.target, &last).await.map_err(&writing)?;
        }
        Ok(content)
    }
}

impl Visitor for Copier<'_> {
    async fn table<E: Table>(&mut self) -> Result<(), TransferError> {
        // The rows that the schema comes with; there are no others.
        let emptied = E::delete_many().exec(self.target.0).await;
        emptied.map_err(failed::<E>("empty a table"))?;
        if E::name() == ledger_row::Entity::name() && self.target.is_postgres() {
            make_partitions(self.source, self.target).await?;
        }
        let content = Box::pin(self.rows::<E>()).await?;
        self.copied.push((E::name(), content));
        Ok(())
    }
}

async fn insert<E: Table>(target: Side<'_>, rows: Vec<E::Model>) -> Result<(), DbErr> {
    let parts = sizes(rows.len());
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model);
    for size in parts {
        let part: Vec<E::ActiveModel> = rows.by_ref().take(size).collect();
        let mut statement = E::insert_many(part).build(target.0.get_database_backend());
        statement.sql.push_str(OURS);
        target.0.execute_raw(statement).await?;
    }
    Ok(())
}

/// Lets a column that the database numbers go on after the last row.
async fn set_sequence<E: Table>(target: Side<'_>, last: &E::Model) -> Result<(), DbErr> {
    if !<E::PrimaryKey as PrimaryKeyTrait>::auto_increment() {
        return Ok(());
    }
    for column in E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column) {
        let last = match last.get(column) {
            Value::BigInt(Some(number)) => number,
            Value::Int(Some(number)) => i64::from(number),
            _ => continue,
        };
        let values = [E::name().into(), column.as_str().into(), last.into()];
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, SET_SEQUENCE, values);
        target.0.query_one_raw(statement).await?;
    }
    Ok(())
}

/// Makes a partition for each of the last days that still have the rows of their calls.
async fn make_partitions(source: Side<'_>, target: Side<'_>) -> Result<(), TransferError> {
    let first_kept = ledger::first_kept(&source).await?;
    let failed = failed::<ledger_row::Entity>("make partitions of the ledger");
    let days = ledger_days(source).await.map_err(&failed)?;
    let days = days.range(first_kept..).rev().take(MOST_PARTITIONS);
    let days: BTreeSet<_> = days
        .filter_map(|day| BillingDay::from_number(*day).ok())
        .collect();
    ledger::make_partitions_in(target.0, &days).await.map_err(failed)
}

/// Finds out whether a database has only the rows that its schema comes with.
pub(super) struct IsEmpty<'run> {
    target: Side<'run>,
    is_empty: bool,
}

impl<'run> IsEmpty<'run> {
    pub(super) async fn check(target: Side<'run>) -> Result<bool, TransferError> {
        let mut check = Self {
            target,
            is_empty: true,
        };
        visit(&mut check).await?;
        Ok(check.is_empty)
    }
}

impl Visitor for IsEmpty<'_> {
    async fn table<E: Table>(&mut self) -> Result<(), TransferError> {
        // Each has one row since the schema was made.
        let has_its_own = [ledger_state::Entity::name(), revision::Entity::name()].contains(&E::name());
        if self.is_empty && !has_its_own {
            let first = E::find().limit(1).one(self.target.0).await;
            self.is_empty = first.map_err(failed::<E>("read rows"))?.is_none();
        }
        Ok(())
    }
}
