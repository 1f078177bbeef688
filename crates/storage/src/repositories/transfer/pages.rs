//! Reads a table in pages, each after the last key of the one before.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Expr, ExprTrait, Query, Value};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, IdenStatic, Iterable, ModelTrait, PrimaryKeyToColumn, QueryFilter,
    QueryOrder, QuerySelect,
};

use super::side::Side;
use super::tables::Table;
use crate::entities::ledger_row;

/// Rows of one page: about half a megabyte of the widest.
const PAGE: u16 = 1000;

/// The rows of a table that are not read yet.
pub(super) struct Pages<'side, E> {
    side: Side<'side>,
    /// The ledger is read day by day: a statement that names a day meets one partition.
    days: Option<std::collections::btree_set::IntoIter<i32>>,
    day: Option<i32>,
    after: Option<Vec<Value>>,
    is_over: bool,
    table: std::marker::PhantomData<E>,
}

impl<'side, E: Table> Pages<'side, E> {
    pub(super) async fn of(side: Side<'side>) -> Result<Self, DbErr> {
        let days = if E::name() == ledger_row::Entity::name() {
            Some(ledger_days(side).await?.into_iter())
        } else {
            None
        };
        let mut pages = Self {
            side,
            days,
            day: None,
            after: None,
            is_over: false,
            table: std::marker::PhantomData,
        };
        if pages.days.is_some() {
            pages.next_day();
        }
        Ok(pages)
    }

    /// Returns the next rows in the order of their keys; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<E::Model>>, DbErr> {
        while !self.is_over {
            let rows = self.query().all(self.side.0).await?;
            let key = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column);
            self.after = rows
                .last()
                .map(|last| key.map(|column| last.get(column)).collect());
            if rows.len() < usize::from(PAGE) {
                self.next_day();
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// Goes on with the next day; a table that has none is over.
    fn next_day(&mut self) {
        self.after = None;
        self.day = self.days.as_mut().and_then(Iterator::next);
        self.is_over = self.day.is_none();
    }

    fn query(&self) -> sea_orm::Select<E> {
        let key: Vec<E::Column> = E::PrimaryKey::iter()
            .map(PrimaryKeyToColumn::into_column)
            .collect();
        let mut query = E::find().limit(u64::from(PAGE));
        for column in &key {
            query = query.order_by_asc(*column);
        }
        if let Some(day) = self.day {
            query = query.filter(ledger_row::Column::Day.eq(day));
        }
        if let Some(after) = &self.after {
            // Of one day, the day says nothing: with it, neither database seeks by the rest of the key.
            let is_told = |column: &E::Column| {
                self.day.is_some() && column.as_str() == ledger_row::Column::Day.as_str()
            };
            let place = key.iter().zip(after).filter(|(column, _)| !is_told(column));
            let (columns, values): (Vec<_>, Vec<_>) = place
                .map(|(column, value)| (Expr::col(column.as_column_ref()), Expr::val(value.clone())))
                .unzip();
            query = query.filter(Expr::tuple(columns).gt(Expr::tuple(values)));
        }
        query
    }
}

/// Lists the days of the ledger, one look at its key for each.
pub(super) async fn ledger_days(side: Side<'_>) -> Result<BTreeSet<i32>, DbErr> {
    use ledger_row::{Column, Entity};

    let mut days = BTreeSet::new();
    let mut after = i32::MIN;
    loop {
        let next = Query::select()
            .expr_as(Expr::col(Column::Day).min(), "day")
            .from(Entity)
            .and_where(Expr::col(Column::Day).gt(after))
            .take();
        let row = side.0.query_one(&next).await?;
        let day: Option<i32> = row.map(|row| row.try_get("", "day")).transpose()?.flatten();
        match day {
            Some(day) => after = day,
            None => return Ok(days),
        }
        days.insert(after);
    }
}
