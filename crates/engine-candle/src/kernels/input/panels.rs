//! Rows of floats for products of many rows at once.

use rayon::prelude::*;

use super::MIN_PARALLEL_VALUES;
use crate::memory::to_be_overwritten;

/// Rows of floats in panels: within one the values of a column lie side by side, so that a product
/// of several rows reads strictly forward, whatever the columns' number.
pub(in super::super) struct Panels {
    /// Rows in a panel; the last one may have fewer.
    pub(in super::super) rows: usize,
    values: Vec<f32>,
    columns: usize,
}

impl Panels {
    pub(super) fn of(values: &[f32], rows: usize, columns: usize, most: usize) -> Self {
        // Panels of the same size: a small one at the end would wait for each of its additions.
        let panel = rows.div_ceil(rows.div_ceil(most).max(1)).max(1);
        let mut panels = to_be_overwritten(values.len());
        let turn = |(target, source): (&mut [f32], &[f32])| transpose(source, columns, target);
        if values.len() < MIN_PARALLEL_VALUES {
            let size = (panel * columns).max(1);
            panels.chunks_mut(size).zip(values.chunks(size)).for_each(turn);
        } else {
            let targets = panels.par_chunks_mut(panel * columns);
            targets.zip(values.par_chunks(panel * columns)).for_each(turn);
        }
        Self {
            rows: panel,
            values: panels,
            columns,
        }
    }

    /// The panel that begins with input row `first`.
    pub(in super::super) fn panel(&self, first: usize) -> &[f32] {
        debug_assert!(first.is_multiple_of(self.rows), "row {first} begins a panel");
        let start = first * self.columns;
        &self.values[start..self.values.len().min(start + self.rows * self.columns)]
    }
}

/// Puts the values of a column side by side.
fn transpose(rows: &[f32], columns: usize, target: &mut [f32]) {
    /// Columns that are written at a time, so that their lines stay in the first-level cache.
    const STRIP: usize = 64;
    let count = rows.len() / columns;
    for (strip, target) in target.chunks_mut(STRIP * count).enumerate() {
        for (index, row) in rows.chunks_exact(columns).enumerate() {
            let values = &row[strip * STRIP..];
            for (value, column) in values.iter().zip(target.chunks_exact_mut(count)) {
                column[index] = *value;
            }
        }
    }
}
