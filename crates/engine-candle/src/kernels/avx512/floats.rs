//! Floats: tiles of 12 input rows and 32 weight rows.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm256_loadu_si256, _mm512_castsi512_ps,
    _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
    _mm512_slli_epi32, _mm512_storeu_ps,
};
use std::ops::Range;

use super::super::input::Panels;
use super::super::layout::LANES;

/// The most input rows in a panel, and so in a tile: with two registers of weights for each, as many
/// as 32 registers take.
pub(in super::super) const PANEL_ROWS: usize = 12;
/// Columns that are multiplied with all rows before the next: the weights of so many stay in the
/// first-level cache.
const COLUMNS: usize = 128;
/// The most tiles that have to wait for memory: for them weights are asked for column by column.
const FEW_TILES: usize = 2;

/// A float that widens to f32 without loss.
pub(super) trait Float {
    const BYTES: usize;

    /// Widens sixteen of them.
    ///
    /// # Safety
    /// AVX-512, and sixteen of them at `place`.
    unsafe fn widen(place: *const u8) -> __m512;
}

pub(super) struct Single;
pub(super) struct Half;
pub(super) struct Brain;

impl Float for Single {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn widen(place: *const u8) -> __m512 {
        // SAFETY: sixteen values are there.
        unsafe { _mm512_loadu_ps(place.cast()) }
    }
}

impl Float for Half {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn widen(place: *const u8) -> __m512 {
        // SAFETY: sixteen values are there.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(place.cast()) })
    }
}

impl Float for Brain {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn widen(place: *const u8) -> __m512 {
        // SAFETY: sixteen values are there.
        let bits = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(place.cast()) });
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
    }
}

/// # Safety
/// As [`super::floats`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn products<F: Float, const GROUPS: usize>(
    groups: [&[u8]; GROUPS],
    input: &Panels,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    let columns = groups[0].len() / (LANES * F::BYTES);
    let stride = rows.len() * LANES;
    sums.fill(0.0);
    let tiles = rows.len().div_ceil(input.rows);
    let few = tiles <= FEW_TILES;
    // Widening once for all tiles only pays when there are several.
    let widen = F::BYTES < 4 && !few;
    let mut widened = [[0.0_f32; COLUMNS * LANES]; GROUPS];
    for start in (0..columns).step_by(COLUMNS) {
        let count = COLUMNS.min(columns - start);
        let bytes = start * LANES * F::BYTES..(start + count) * LANES * F::BYTES;
        let weights = groups.map(|group| &group[bytes.clone()]);
        if widen {
            for (widened, weights) in widened.iter_mut().zip(weights) {
                let values = weights.chunks_exact(LANES * F::BYTES);
                for (place, weights) in widened.chunks_exact_mut(LANES).zip(values) {
                    // SAFETY: both chunks have sixteen values.
                    unsafe { _mm512_storeu_ps(place.as_mut_ptr(), F::widen(weights.as_ptr())) };
                }
            }
        }
        for (index, first) in rows.clone().step_by(input.rows).enumerate() {
            let count_rows = input.rows.min(rows.end - first);
            let tile = Tile {
                input: &input.panel(first)[start * count_rows..][..count * count_rows],
                count,
                stride,
            };
            let sums = &mut sums[index * input.rows * LANES..];
            // SAFETY: the weights are `count` columns of 16 values of the type named, the panel has
            // as many columns, and each group has `stride` sums.
            unsafe {
                if !few {
                    ask(weights, index, tiles);
                }
                if widen {
                    let widened = widened.each_ref().map(|widened| widened.as_ptr().cast());
                    tile.multiply::<Single, GROUPS, false>(widened, count_rows, sums);
                } else if few && index == 0 {
                    let weights = weights.map(<[u8]>::as_ptr);
                    tile.multiply::<F, GROUPS, true>(weights, count_rows, sums);
                } else {
                    let weights = weights.map(<[u8]>::as_ptr);
                    tile.multiply::<F, GROUPS, false>(weights, count_rows, sums);
                }
            }
        }
    }
}

/// Asks for this tile's share of the weights behind those at hand, so that reading them is spread
/// over the time that all tiles take.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn ask<const GROUPS: usize>(weights: [&[u8]; GROUPS], tile: usize, tiles: usize) {
    for weights in weights {
        let lines = weights.len() / 64;
        for line in tile * lines / tiles..(tile + 1) * lines / tiles {
            let next = weights.as_ptr().wrapping_add(weights.len() + line * 64);
            _mm_prefetch::<_MM_HINT_T1>(next.cast());
        }
    }
}

/// Some columns of a panel.
struct Tile<'data> {
    input: &'data [f32],
    count: usize,
    /// Sums of a group.
    stride: usize,
}

impl Tile<'_> {
    /// # Safety
    /// As [`Self::tile`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn multiply<F: Float, const GROUPS: usize, const FIRST: bool>(
        &self,
        weights: [*const u8; GROUPS],
        rows: usize,
        sums: &mut [f32],
    ) {
        // SAFETY: as the caller promises.
        unsafe {
            match rows {
                1 => self.tile::<F, GROUPS, 1, FIRST>(weights, sums),
                2 => self.tile::<F, GROUPS, 2, FIRST>(weights, sums),
                3 => self.tile::<F, GROUPS, 3, FIRST>(weights, sums),
                4 => self.tile::<F, GROUPS, 4, FIRST>(weights, sums),
                5 => self.tile::<F, GROUPS, 5, FIRST>(weights, sums),
                6 => self.tile::<F, GROUPS, 6, FIRST>(weights, sums),
                7 => self.tile::<F, GROUPS, 7, FIRST>(weights, sums),
                8 => self.tile::<F, GROUPS, 8, FIRST>(weights, sums),
                9 => self.tile::<F, GROUPS, 9, FIRST>(weights, sums),
                10 => self.tile::<F, GROUPS, 10, FIRST>(weights, sums),
                11 => self.tile::<F, GROUPS, 11, FIRST>(weights, sums),
                _ => self.tile::<F, GROUPS, PANEL_ROWS, FIRST>(weights, sums),
            }
        }
    }

    /// The first tile of few asks for the next columns' weights.
    ///
    /// # Safety
    /// AVX-512; `count` times 16 weights in each group; `ROWS` values in each column of the panel; as
    /// many times 16 sums, for each group `stride` after those of the one before.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn tile<F: Float, const GROUPS: usize, const ROWS: usize, const FIRST: bool>(
        &self,
        weights: [*const u8; GROUPS],
        sums: &mut [f32],
    ) {
        debug_assert!(
            (GROUPS - 1) * self.stride + ROWS * LANES <= sums.len(),
            "sums of a tile"
        );
        debug_assert_eq!(self.input.len(), ROWS * self.count, "columns of a panel");
        let mut input = self.input.as_ptr();
        // SAFETY: as the caller promises.
        unsafe {
            let sums = sums.as_mut_ptr();
            let place = |group: usize, row: usize| sums.add(group * self.stride + row * LANES);
            let mut totals = [[_mm512_set1_ps(0.0); GROUPS]; ROWS];
            for (row, totals) in totals.iter_mut().enumerate() {
                for (group, total) in totals.iter_mut().enumerate() {
                    *total = _mm512_loadu_ps(place(group, row));
                }
            }
            for column in 0..self.count {
                let offset = column * LANES * F::BYTES;
                let mut values = [_mm512_set1_ps(0.0); GROUPS];
                for (values, weights) in values.iter_mut().zip(weights) {
                    let weights = weights.add(offset);
                    if FIRST {
                        let next = weights.wrapping_add(COLUMNS / 2 * LANES * F::BYTES);
                        _mm_prefetch::<_MM_HINT_T0>(next.cast());
                    }
                    *values = F::widen(weights);
                }
                for (row, totals) in totals.iter_mut().enumerate() {
                    let value = _mm512_set1_ps(*input.add(row));
                    for (total, weights) in totals.iter_mut().zip(values) {
                        *total = _mm512_fmadd_ps(weights, value, *total);
                    }
                }
                input = input.add(ROWS);
            }
            for (row, totals) in totals.iter().enumerate() {
                for (group, total) in totals.iter().enumerate() {
                    _mm512_storeu_ps(place(group, row), *total);
                }
            }
        }
    }
}
