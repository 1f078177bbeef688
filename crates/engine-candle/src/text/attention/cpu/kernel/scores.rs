//! Queries times keys.

use std::ops::Range;

use super::super::numbers::LANES;
use super::super::vector::Vector;
use super::{BLOCK, Head, STRIP, WIDE};

impl Head<'_> {
    /// Fills in the products of queries and the keys of a strip, also of positions that a query does
    /// not see; those are not looked at afterwards.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn score<V: Vector>(
        &self,
        queries: &Range<usize>,
        positions: &Range<usize>,
        weights: &mut [f32],
    ) {
        let first = positions.start / BLOCK;
        let count = positions.end.div_ceil(BLOCK) - first;
        let mut query = queries.start;
        while query < queries.end {
            let target = &mut weights[(query - queries.start) * STRIP..];
            // SAFETY: as the caller promises.
            unsafe {
                query += match queries.end - query {
                    4.. => self.score_some::<V, 4>(query, first, count, target),
                    2.. => self.score_some::<V, 2>(query, first, count, target),
                    _ => self.score_some::<V, 1>(query, first, count, target),
                };
            }
        }
    }

    /// Returns `N`.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn score_some<V: Vector, const N: usize>(
        &self,
        query: usize,
        first: usize,
        count: usize,
        target: &mut [f32],
    ) -> usize {
        // SAFETY: as the caller promises.
        unsafe {
            if V::WIDE && count == WIDE {
                self.score_blocks::<V, N, WIDE>(query, first, target);
            } else {
                for block in first..first + count {
                    self.score_blocks::<V, N, 1>(query, block, target);
                }
            }
        }
        N
    }

    /// `N` queries times the keys of `C` blocks. Each sum runs over the width in order.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn score_blocks<V: Vector, const N: usize, const C: usize>(
        &self,
        query: usize,
        block: usize,
        target: &mut [f32],
    ) {
        let queries: [_; N] = std::array::from_fn(|index| self.query(query + index).as_ptr());
        let mut keys = [self.data.as_ptr(); C];
        for (index, place) in keys.iter_mut().enumerate() {
            *place = self.keys(block + index).as_ptr();
        }
        let target = &mut target[block * BLOCK % STRIP..][..(N - 1) * STRIP + C * LANES];
        // SAFETY: queries are as long as the width, blocks' keys sixteen times as long, and the target
        // has room for `C` times sixteen logits of each query.
        unsafe {
            let mut sums = [[V::splat(0.0); C]; N];
            for index in 0..self.shape.width {
                let mut columns = [V::splat(0.0); C];
                for (column, keys) in columns.iter_mut().zip(keys) {
                    *column = V::load(keys.add(index * LANES));
                }
                for (sums, query) in sums.iter_mut().zip(queries) {
                    let value = V::splat(*query.add(index));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = sum.plus_product(value, column);
                    }
                }
            }
            for (index, sums) in sums.iter().enumerate() {
                for (column, sum) in sums.iter().enumerate() {
                    sum.store(target.as_mut_ptr().add(index * STRIP + column * LANES));
                }
            }
        }
    }
}
