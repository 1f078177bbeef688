//! What a transfer tells: how far it is, and what both databases hold.

use std::collections::BTreeMap;

use silica_types::BucketId;

use crate::Discrepancy;

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub step: Step,
    /// The table.
    pub table: &'static str,
    /// Its rows that are done.
    pub rows: u64,
    /// All its rows.
    pub of: u64,
}

/// What a transfer does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Moves its rows.
    Copying,
    /// Reads the source's rows, of which the target has as many already.
    ReadingSource,
    /// Reads the target's rows and compares them.
    Comparing,
}

/// What a transfer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// Whether anything was to do.
    pub outcome: Outcome,
    /// What both databases hold.
    pub comparison: Comparison,
}

/// Whether anything was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target was empty and now has everything.
    Copied,
    /// The target had everything already, row by row.
    WasThere,
}

/// Both databases side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Every table, in the order in which they are moved.
    pub tables: Vec<TableComparison>,
    /// What accounts have.
    pub balances: Balances,
    /// What does not add up in the source, and so in the target; see [`crate::ledger::verify`].
    pub source_discrepancies: Vec<Discrepancy>,
    /// What does not add up in the target.
    pub target_discrepancies: Vec<Discrepancy>,
}

impl Comparison {
    /// Whether the two hold the same.
    pub fn is_same(&self) -> bool {
        self.tables
            .iter()
            .all(|table| table.content == TableContent::Same)
            && self.balances.different.is_empty()
            && self
                .balances
                .kinds
                .values()
                .all(|kind| kind.source == kind.target)
            && self.source_discrepancies == self.target_discrepancies
    }
}

/// A table in both databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableComparison {
    /// Its name.
    pub table: &'static str,
    /// Rows in the source.
    pub source_rows: u64,
    /// Rows in the target.
    pub target_rows: u64,
    /// Whether all columns of all rows agree.
    pub content: TableContent,
    /// The sums of the columns of money in both, in nano-CNY.
    pub sums: Vec<(&'static str, [i128; 2])>,
}

/// Whether a table holds the same in both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableContent {
    /// Row by row.
    Same,
    /// It does not.
    Different,
    /// It has as many rows, and another table has not, so rows were not read.
    NotCompared,
}

/// What accounts have, in both databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balances {
    /// The sums by the kind of bucket.
    pub kinds: BTreeMap<String, KindBalance>,
    /// Buckets that are missing in the target or have another balance there; the first hundred.
    pub different: Vec<BucketId>,
}

/// The sums of all buckets of one kind, in nano-CNY.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindBalance {
    /// Number of buckets in the source, and what they hold.
    pub source: (u64, i128),
    /// The same in the target.
    pub target: (u64, i128),
}
