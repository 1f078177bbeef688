//! The rows of activations that a product takes.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

#[cfg(target_arch = "x86_64")]
mod panels;

use std::cell::OnceCell;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
pub(super) use self::panels::Panels;
use super::blocks::BLOCK;
use crate::memory::to_be_overwritten;

/// Values below which rounding is not worth the other threads' wake-up.
const MIN_PARALLEL_VALUES: usize = 1 << 15;
/// Below this a block counts as zeros: one over its scale would not be a finite f32.
pub(super) const SMALLEST: f32 = 1e-35;

/// Rows of activations, row-major. Rounded to int8 blocks at most once, when the first quantised
/// matrix asks for it; several matrices share the result.
///
/// It cannot be shared between threads: a thread that waits for others' work inside the rounding
/// could otherwise be given work that waits for the rounding.
pub(crate) struct Input<'data> {
    values: &'data [f32],
    rows: usize,
    columns: usize,
    rounded: OnceCell<Rounded>,
    #[cfg(target_arch = "x86_64")]
    panels: OnceCell<Panels>,
}

impl<'data> Input<'data> {
    /// `values` are `rows` times `columns`.
    pub(crate) fn new(values: &'data [f32], rows: usize, columns: usize) -> Self {
        debug_assert_eq!(values.len(), rows * columns, "rows of activations");
        Self {
            values,
            rows,
            columns,
            rounded: OnceCell::new(),
            #[cfg(target_arch = "x86_64")]
            panels: OnceCell::new(),
        }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many values a row has.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn values(&self) -> &'data [f32] {
        self.values
    }

    /// The rows in int8; the columns are whole blocks.
    pub(super) fn rounded(&self) -> &Rounded {
        self.rounded
            .get_or_init(|| Rounded::of(self.values, self.rows, self.columns))
    }

    /// The rows in panels of `most` rows or a few less.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn panels(&self, most: usize) -> &Panels {
        self.panels
            .get_or_init(|| Panels::of(self.values, self.rows, self.columns, most))
    }
}

/// Activations in blocks of 32 columns: int8 times a scale, as ggml's Q8_0 with a scale in f32.
///
/// All rows of the first block come first, then all rows of the second, so that a product which
/// has one block of weights at hand reads forward. What a row becomes depends on that row alone.
pub(super) struct Rounded {
    pub(super) rows: usize,
    /// 32 values for each block and row.
    pub(super) values: Vec<i8>,
    /// For each block and row.
    pub(super) scales: Vec<f32>,
    /// For each block and row the sums of the values of its first and its second half.
    pub(super) sums: Vec<[i16; 2]>,
    /// For each block and row the sum of the values times -128: where a sum of products begins whose
    /// weights have 128 added to them.
    #[cfg(target_arch = "x86_64")]
    pub(super) offsets: Vec<i32>,
    /// For each block and row the sum of the values.
    #[cfg(target_arch = "x86_64")]
    pub(super) totals: Vec<f32>,
}

impl Rounded {
    fn of(values: &[f32], rows: usize, columns: usize) -> Self {
        let blocks = columns / BLOCK;
        let count = blocks * rows;
        // Whatever is not zero; see `to_be_overwritten`.
        let mut rounded = Self {
            rows,
            values: vec![1; count * BLOCK],
            scales: to_be_overwritten(count),
            sums: vec![[1; 2]; count],
            #[cfg(target_arch = "x86_64")]
            offsets: vec![1; count],
            #[cfg(target_arch = "x86_64")]
            totals: to_be_overwritten(count),
        };
        if count == 0 {
            return rounded;
        }
        let outputs = rounded
            .values
            .par_chunks_mut(rows * BLOCK)
            .zip(rounded.scales.par_chunks_mut(rows))
            .zip(rounded.sums.par_chunks_mut(rows));
        #[cfg(target_arch = "x86_64")]
        let outputs = outputs.zip(
            rounded
                .offsets
                .par_chunks_mut(rows)
                .zip(rounded.totals.par_chunks_mut(rows)),
        );
        #[cfg(not(target_arch = "x86_64"))]
        let outputs = outputs.map(|outputs| (outputs, ()));
        let sequential = values.len() < MIN_PARALLEL_VALUES;
        outputs
            .enumerate()
            .with_min_len(if sequential { blocks } else { 1 })
            .for_each(|(block, (((places, scales), sums), of_sums))| {
                let places = places.as_chunks_mut().0;
                round_rows(&values[block * BLOCK..], columns, places, scales, sums);
                #[cfg(target_arch = "x86_64")]
                for ((sums, offset), total) in sums.iter().zip(of_sums.0).zip(of_sums.1) {
                    let sum = sums[0] + sums[1];
                    (*offset, *total) = (-128 * i32::from(sum), f32::from(sum));
                }
                #[cfg(not(target_arch = "x86_64"))]
                let () = of_sums;
            });
        rounded
    }

    /// The values of all rows in one block.
    pub(super) fn block(&self, block: usize) -> &[[i8; BLOCK]] {
        self.values[block * self.rows * BLOCK..][..self.rows * BLOCK]
            .as_chunks()
            .0
    }

    /// The scales of all rows in one block.
    pub(super) fn scales(&self, block: usize) -> &[f32] {
        &self.scales[block * self.rows..][..self.rows]
    }

    /// The sums of all rows in one block.
    pub(super) fn sums(&self, block: usize) -> &[[i16; 2]] {
        &self.sums[block * self.rows..][..self.rows]
    }
}

/// The larger one; not `max`, which would drop a value that is no number.
#[inline(always)]
fn further(found: f32, value: f32) -> f32 {
    if value > found || value.is_nan() {
        value
    } else {
        found
    }
}

/// Rounds one block of all rows; `values` begin with that of the first row, and rows are `columns`
/// apart.
fn round_rows(
    values: &[f32],
    columns: usize,
    places: &mut [[i8; BLOCK]],
    scales: &mut [f32],
    sums: &mut [[i16; 2]],
) {
    #[cfg(target_arch = "x86_64")]
    if super::avx512::is_available() {
        // SAFETY: the processor has the instructions that the function is compiled for.
        #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
        return unsafe { round_rows_avx512(values, columns, places, scales, sums) };
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
        return unsafe { round_rows_avx2(values, columns, places, scales, sums) };
    }
    round_rows_with(values, columns, places, scales, sums, round_with);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn round_rows_avx512(
    values: &[f32],
    columns: usize,
    places: &mut [[i8; BLOCK]],
    scales: &mut [f32],
    sums: &mut [[i16; 2]],
) {
    round_rows_with(values, columns, places, scales, sums, |source, target| {
        super::avx512::round(source, target).unwrap_or_else(|| round_with(source, target))
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn round_rows_avx2(
    values: &[f32],
    columns: usize,
    places: &mut [[i8; BLOCK]],
    scales: &mut [f32],
    sums: &mut [[i16; 2]],
) {
    round_rows_with(values, columns, places, scales, sums, round_with);
}

#[inline(always)]
fn round_rows_with(
    values: &[f32],
    columns: usize,
    places: &mut [[i8; BLOCK]],
    scales: &mut [f32],
    sums: &mut [[i16; 2]],
    round: impl Fn(&[f32; BLOCK], &mut [i8; BLOCK]) -> (f32, [i16; 2]),
) {
    let sources = values.chunks(columns).filter_map(|row| row.first_chunk());
    for (source, (place, (scale, sum))) in sources.zip(places.iter_mut().zip(scales.iter_mut().zip(sums))) {
        (*scale, *sum) = round(source, place);
    }
}

/// Rounds one block; returns its scale and the sums of its halves. A value that is no number, or
/// infinite, makes the scale infinite or no number, and so every product with the row.
///
/// Written so that the compiler turns it into vector code of whatever it is compiled for.
#[inline(always)]
fn round_with(source: &[f32; BLOCK], target: &mut [i8; BLOCK]) -> (f32, [i16; 2]) {
    /// Adding it rounds to a whole number, half to even, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let mut lanes = [0.0_f32; 8];
    for eight in source.as_chunks::<8>().0 {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane = further(*lane, value.abs());
        }
    }
    let largest = lanes.into_iter().fold(0.0, further);
    if largest < SMALLEST {
        target.fill(0);
        return (0.0, [0; 2]);
    }
    let inverse = 127.0 / largest;
    for (value, target) in source.iter().zip(target.iter_mut()) {
        let bits = (value * inverse + ROUND).to_bits();
        *target = i8::from_le_bytes([bits.to_le_bytes()[0]]);
    }
    let (first, second) = target.split_at(BLOCK / 2);
    let sum = |half: &[i8]| half.iter().map(|value| i16::from(*value)).sum();
    (largest / 127.0, [sum(first), sum(second)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(values: &[f32; BLOCK]) -> ([i8; BLOCK], f32, [i16; 2]) {
        let mut target = [99; BLOCK];
        let (mut scales, mut sums) = ([f32::NAN], [[99; 2]]);
        let places = std::slice::from_mut(&mut target);
        round_rows(values, BLOCK, places, &mut scales, &mut sums);
        let mut twin = [99; BLOCK];
        let (scale, twin_sums) = round_with(values, &mut twin);
        assert_eq!(
            (target, sums[0]),
            (twin, twin_sums),
            "as without vector instructions"
        );
        assert!(scale.to_bits() == scales[0].to_bits() || scale.is_nan() && scales[0].is_nan());
        (target, scale, sums[0])
    }

    #[test]
    fn the_furthest_value_becomes_127_and_halves_go_to_the_even_neighbour() {
        let mut values = [0.0; BLOCK];
        (values[0], values[1], values[20], values[31]) = (-254.0, 1.0, 3.0, 127.0);
        let (codes, scale, sums) = rounded(&values);
        assert_eq!((codes[0], codes[1], codes[20], codes[31]), (-127, 0, 2, 64));
        assert_eq!(scale.to_bits(), 2.0_f32.to_bits());
        assert_eq!(sums, [-127, 66]);
    }

    #[test]
    fn values_too_small_for_a_scale_are_zeros() {
        for tiny in [0.0, f32::from_bits(1), 9e-36] {
            assert_eq!(rounded(&[tiny; BLOCK]), ([0; BLOCK], 0.0, [0; 2]), "{tiny}");
        }
    }

    #[test]
    fn the_largest_values_keep_a_finite_scale() {
        let (codes, scale, _) = rounded(&[f32::MAX; BLOCK]);
        assert_eq!(codes, [127; BLOCK]);
        assert!(scale.is_finite());
    }

    #[test]
    fn a_value_that_is_no_number_spoils_the_scale() {
        let mut values = [1.0; BLOCK];
        values[3] = f32::NAN;
        assert!(rounded(&values).1.is_nan());
        values[3] = f32::INFINITY;
        assert!(rounded(&values).1.is_infinite());
    }
}
