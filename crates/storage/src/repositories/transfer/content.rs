//! What a table holds, in a few numbers that do not depend on the order of its rows.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};

use sea_orm::sea_query::{Asterisk, Expr, ExprTrait, Query, Value};
use sea_orm::{ConnectionTrait, DbErr, IdenStatic, Iterable, ModelTrait};

use super::pages::Pages;
use super::side::Side;
use super::tables::{Table, Visitor, visit};
use super::{Balances, Comparison, Progress, Step, TableComparison, TableContent, TransferError};

/// How the columns of money end.
const MONEY: &str = "_nano";

/// What a table holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    rows: u64,
    /// The wrapping sum of a hash of each row. Databases sort text differently, so the order must not
    /// count; that two different tables agree by chance is one in 2^64.
    digest: u64,
    /// The sums of the columns of money.
    sums: BTreeMap<&'static str, i128>,
}

impl Content {
    /// Counts a row in.
    pub(super) fn add<M: ModelTrait>(&mut self, row: &M) {
        let mut digest = Digest(DefaultHasher::new());
        // All columns with their names. Both sides are read into the same type, so equal rows have equal
        // texts, and different ones differ: texts in it are quoted. Writing to a hash cannot fail.
        let _ = write!(digest, "{row:?}");
        self.digest = self.digest.wrapping_add(digest.0.finish());
        self.rows += 1;
        for column in <M::Entity as sea_orm::EntityTrait>::Column::iter() {
            let name = column.as_str();
            if name.ends_with(MONEY)
                && let Value::BigInt(Some(nano)) = row.get(column)
            {
                *self.sums.entry(name).or_default() += i128::from(nano);
            }
        }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    fn compare(&self, table: &'static str, found: &Self) -> TableComparison {
        let of = |content: &Self, name| content.sums.get(name).copied().unwrap_or_default();
        let names = self.sums.keys().chain(found.sums.keys());
        let both: BTreeMap<_, _> = names
            .map(|name| (*name, [of(self, name), of(found, name)]))
            .collect();
        TableComparison {
            table,
            source_rows: self.rows,
            target_rows: found.rows,
            content: if self == found {
                TableContent::Same
            } else {
                TableContent::Different
            },
            sums: both.into_iter().collect(),
        }
    }
}

/// A hash that is written to as a text is.
struct Digest(DefaultHasher);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// What all tables hold.
pub(super) struct Contents(pub(super) Vec<(&'static str, Content)>);

impl Contents {
    /// Reads all of a database.
    pub(super) async fn of(
        side: Side<'_>,
        counts: &Counts,
        step: Step,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Self, TransferError> {
        let mut reader = Reader {
            side,
            counts,
            step,
            tell,
            found: Vec::new(),
        };
        visit(&mut reader).await?;
        Ok(Self(reader.found))
    }

    /// Compares the tables, which both are in one order.
    pub(super) fn compare(&self, found: &Self) -> Vec<TableComparison> {
        let both = self.0.iter().zip(&found.0);
        both.map(|((table, expected), (_, found))| expected.compare(table, found))
            .collect()
    }
}

struct Reader<'run> {
    side: Side<'run>,
    counts: &'run Counts,
    step: Step,
    tell: &'run mut dyn FnMut(Progress),
    found: Vec<(&'static str, Content)>,
}

impl Visitor for Reader<'_> {
    async fn table<E: Table>(&mut self) -> Result<(), TransferError> {
        let failed = failed::<E>("read rows");
        let mut content = Content::default();
        let mut pages = Pages::<E>::of(self.side).await.map_err(&failed)?;
        while let Some(rows) = pages.next().await.map_err(&failed)? {
            for row in &rows {
                content.add(row);
            }
            (self.tell)(Progress {
                step: self.step,
                table: E::name(),
                rows: content.rows,
                of: self.counts.of_table(E::name()),
            });
        }
        self.found.push((E::name(), content));
        Ok(())
    }
}

/// How many rows each table has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub(super) async fn of(side: Side<'_>) -> Result<Self, TransferError> {
        let mut counter = Counter {
            side,
            counts: Self::default(),
        };
        visit(&mut counter).await?;
        Ok(counter.counts)
    }

    pub(super) fn of_table(&self, table: &str) -> u64 {
        let found = self.0.iter().find(|(name, _)| *name == table);
        found.map_or(0, |(_, rows)| *rows)
    }

    /// Compares the numbers; `None` when they are the same.
    pub(super) fn difference(&self, found: &Self) -> Option<Comparison> {
        let compare = |(table, rows): &(&'static str, u64)| {
            let target_rows = found.of_table(table);
            let is_same = *rows == target_rows;
            TableComparison {
                table,
                source_rows: *rows,
                target_rows,
                content: if is_same {
                    TableContent::NotCompared
                } else {
                    TableContent::Different
                },
                sums: Vec::new(),
            }
        };
        (self != found).then(|| Comparison {
            tables: self.0.iter().map(compare).collect(),
            balances: Balances::default(),
            source_discrepancies: Vec::new(),
            target_discrepancies: Vec::new(),
        })
    }
}

struct Counter<'run> {
    side: Side<'run>,
    counts: Counts,
}

impl Visitor for Counter<'_> {
    async fn table<E: Table>(&mut self) -> Result<(), TransferError> {
        let query = Query::select()
            .expr_as(Expr::col(Asterisk).count(), "number")
            .from(E::default().table_ref())
            .take();
        let number = async {
            let row = self.side.0.query_one(&query).await?;
            row.map_or(Ok(0), |row| row.try_get::<i64>("", "number"))
        };
        let number = number.await.map_err(failed::<E>("count rows"))?;
        self.counts.0.push((E::name(), number.unsigned_abs()));
        Ok(())
    }
}

/// Says with which table a database failed.
pub(super) fn failed<E: Table>(action: &'static str) -> impl Fn(DbErr) -> TransferError {
    move |error| TransferError::Table {
        table: E::name(),
        source: crate::error::driver(action, E::name())(error),
    }
}
