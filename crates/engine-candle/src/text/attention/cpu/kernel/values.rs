//! Weights times values.

use std::ops::Range;

use super::super::numbers::{LANES, multiply_add};
use super::super::vector::Vector;
use super::{BLOCK, Head, STRIP, WIDE, within};

impl Head<'_> {
    /// Adds up the values of a strip for all queries by their weights.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn sum_values<V: Vector>(
        &self,
        queries: &Range<usize>,
        positions: &Range<usize>,
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let width = self.shape.width;
        let mut query = queries.start;
        while query < queries.end {
            let weights = &weights[(query - queries.start) * STRIP..];
            let sums = &mut sums[(query - queries.start) * width..];
            // SAFETY: as the caller promises.
            unsafe {
                query += match queries.end - query {
                    4.. => self.sum_some::<V, 4>(query, positions, weights, sums),
                    2.. => self.sum_some::<V, 2>(query, positions, weights, sums),
                    _ => self.sum_some::<V, 1>(query, positions, weights, sums),
                };
            }
        }
    }

    /// `N` queries from `first` on. Each one's sum runs over its positions in order: those that
    /// only it sees before or after the others one by one, those that all see together. Returns
    /// `N`.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn sum_some<V: Vector, const N: usize>(
        &self,
        first: usize,
        positions: &Range<usize>,
        weights: &[f32],
        sums: &mut [f32],
    ) -> usize {
        let width = self.shape.width;
        let shared = self.seen(first + N - 1).start..self.seen(first).end;
        let shared = within(&(shared.start..shared.end.max(shared.start)), positions);
        // SAFETY: as the caller promises; each query has its weights and sums.
        unsafe {
            for index in 0..N {
                let seen = within(&self.seen(first + index), positions);
                let alone = seen.start..seen.end.min(shared.start);
                self.sum_positions::<V, 1>(alone, &weights[index * STRIP..], &mut sums[index * width..]);
            }
            self.sum_positions::<V, N>(shared.clone(), weights, sums);
            for index in 0..N {
                let seen = within(&self.seen(first + index), positions);
                let alone = seen.start.max(shared.end)..seen.end;
                self.sum_positions::<V, 1>(alone, &weights[index * STRIP..], &mut sums[index * width..]);
            }
        }
        N
    }

    /// Adds the values of some positions of a strip onto the sums of `N` queries.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn sum_positions<V: Vector, const N: usize>(
        &self,
        positions: Range<usize>,
        weights: &[f32],
        sums: &mut [f32],
    ) {
        if positions.is_empty() {
            return;
        }
        let width = self.shape.width;
        let weights = &weights[..(N - 1) * STRIP + STRIP];
        let sums = &mut sums[..N * width];
        let mut column = 0;
        // SAFETY: as the caller promises.
        unsafe {
            while V::WIDE && column + WIDE * LANES <= width {
                self.sum_columns::<V, N, WIDE>(&positions, column, weights, sums);
                column += WIDE * LANES;
            }
            while column + LANES <= width {
                self.sum_columns::<V, N, 1>(&positions, column, weights, sums);
                column += LANES;
            }
        }
        if column == width {
            return;
        }
        for position in positions {
            let values = &self.values(position / BLOCK)[position % BLOCK * width..][..width];
            for (weights, sums) in weights.chunks(STRIP).zip(sums.chunks_exact_mut(width)) {
                let weight = weights[position % STRIP];
                for (sum, value) in sums[column..].iter_mut().zip(&values[column..]) {
                    *sum = if V::FUSED {
                        multiply_add::<true>(weight, *value, *sum)
                    } else {
                        multiply_add::<false>(weight, *value, *sum)
                    };
                }
            }
        }
    }

    /// `C` times sixteen columns of the values from `column` on.
    ///
    /// # Safety
    /// The processor has the instructions of `V`; there are so many columns, and the weights and sums of
    /// `N` queries.
    #[inline(always)]
    unsafe fn sum_columns<V: Vector, const N: usize, const C: usize>(
        &self,
        positions: &Range<usize>,
        column: usize,
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let width = self.shape.width;
        // SAFETY: a block has a row of values for each position, and a strip a weight.
        unsafe {
            let sums = sums.as_mut_ptr().add(column);
            let mut totals = [[V::splat(0.0); C]; N];
            for (query, totals) in totals.iter_mut().enumerate() {
                for (index, total) in totals.iter_mut().enumerate() {
                    *total = V::load(sums.add(query * width + index * LANES));
                }
            }
            let mut position = positions.start;
            while position < positions.end {
                let end = ((position / BLOCK + 1) * BLOCK).min(positions.end);
                let mut values = self.values(position / BLOCK).as_ptr();
                values = values.add(position % BLOCK * width + column);
                let mut weights = weights.as_ptr().add(position % STRIP);
                for _ in position..end {
                    let mut columns = [V::splat(0.0); C];
                    for (index, column) in columns.iter_mut().enumerate() {
                        *column = V::load(values.add(index * LANES));
                    }
                    for (query, totals) in totals.iter_mut().enumerate() {
                        let weight = V::splat(*weights.add(query * STRIP));
                        for (total, column) in totals.iter_mut().zip(columns) {
                            *total = total.plus_product(weight, column);
                        }
                    }
                    values = values.add(width);
                    weights = weights.add(1);
                }
                position = end;
            }
            for (query, totals) in totals.iter().enumerate() {
                for (index, total) in totals.iter().enumerate() {
                    total.store(sums.add(query * width + index * LANES));
                }
            }
        }
    }
}
