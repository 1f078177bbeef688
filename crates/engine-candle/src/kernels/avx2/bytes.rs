//! Q8_0: `vpmaddubsw` wants one factor unsigned, so the weights' signs go to the activations. Two
//! products of at most 128 * 127 do not saturate i16.

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_abs_epi8, _mm256_add_epi32,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_ps,
};
use std::ops::Range;

use super::super::blocks::BLOCK;
use super::super::input::Rounded;
use super::super::layout::{LANES, QUAD, SCALES};

/// Quads in a block.
const QUADS: usize = BLOCK / 4;
/// Bytes of a chunk: scales, then quads.
const CHUNK: usize = SCALES + QUADS * QUAD;
/// Input rows in a tile: 8 registers of sums, and enough products for each weight that is loaded.
const TILE: usize = 4;
/// Chunks that are multiplied with all rows before the next: few enough that the weights stay in the
/// first-level cache, and that reading them and multiplying them overlap.
const STRIP: usize = 8;
/// How far ahead of the product weights are asked for, in bytes.
const AHEAD: usize = 8 * CHUNK;

/// # Safety
/// As [`super::quantised`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn products(group: &[u8], input: &Rounded, rows: Range<usize>, sums: &mut [f32]) {
    sums.fill(0.0);
    // Tiles of the same size: a small one has few products for each weight that is loaded.
    let tile_rows = rows.len().div_ceil(rows.len().div_ceil(TILE));
    for (index, strip) in group.chunks(STRIP * CHUNK).enumerate() {
        for (start, sums) in rows
            .clone()
            .step_by(tile_rows)
            .zip(sums.chunks_mut(tile_rows * LANES))
        {
            let tile = Tile {
                input,
                block: index * STRIP,
                row: start,
                ahead: start == rows.start,
            };
            // SAFETY: as the caller promises; the number of rows is that of the sums.
            unsafe {
                match sums.len() / LANES {
                    1 => tile.multiply::<1>(strip, sums),
                    2 => tile.multiply::<2>(strip, sums),
                    3 => tile.multiply::<3>(strip, sums),
                    _ => tile.multiply::<TILE>(strip, sums),
                }
            }
        }
    }
}

/// Some rows of the input, from a block on.
struct Tile<'data> {
    input: &'data Rounded,
    block: usize,
    row: usize,
    /// Whether this is the tile that asks for the weights that come later.
    ahead: bool,
}

impl Tile<'_> {
    /// Adds the products of a strip to the sums of `ROWS` rows.
    ///
    /// # Safety
    /// AVX2, FMA and F16C; the input has the rows, and a block for each chunk.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn multiply<const ROWS: usize>(&self, strip: &[u8], sums: &mut [f32]) {
        debug_assert_eq!(sums.len(), ROWS * LANES, "sums of a tile");
        // SAFETY: every pointer is into the chunk at hand or into `sums`, which has 16 values for each
        // row.
        unsafe {
            let sums = sums.as_mut_ptr();
            let mut totals: [[__m256; 2]; ROWS] = std::array::from_fn(|row| {
                [
                    _mm256_loadu_ps(sums.add(row * LANES)),
                    _mm256_loadu_ps(sums.add(row * LANES + 8)),
                ]
            });
            for (index, chunk) in strip.chunks_exact(CHUNK).enumerate() {
                let chunk = chunk.as_ptr();
                if self.ahead {
                    prefetch(chunk);
                }
                self.add(self.block + index, chunk, &mut totals);
            }
            for (row, totals) in totals.iter().enumerate() {
                _mm256_storeu_ps(sums.add(row * LANES), totals[0]);
                _mm256_storeu_ps(sums.add(row * LANES + 8), totals[1]);
            }
        }
    }

    /// Adds the products of a chunk.
    ///
    /// # Safety
    /// As [`Self::multiply`]; a chunk, and its block.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add<const ROWS: usize>(
        &self,
        block: usize,
        chunk: *const u8,
        totals: &mut [[__m256; 2]; ROWS],
    ) {
        let first = block * self.input.rows + self.row;
        let values = self.input.values[first * BLOCK..(first + ROWS) * BLOCK]
            .as_ptr()
            .cast::<[u8; 4]>();
        let ones = _mm256_set1_epi16(1);
        let mut dots = [[_mm256_setzero_si256(); 2]; ROWS];
        for quad in 0..QUADS {
            // SAFETY: after its scales a chunk has 64 bytes for each quad, and `values` has 8 quads for
            // each of the rows.
            unsafe {
                let place = chunk.add(SCALES + quad * QUAD);
                let weights = [load(place), load(place.add(QUAD / 2))];
                let sizes = weights.map(|weights| _mm256_abs_epi8(weights));
                for (row, dots) in dots.iter_mut().enumerate() {
                    let value = values.add(row * QUADS + quad).read();
                    let value = _mm256_set1_epi32(i32::from_ne_bytes(value));
                    for side in 0..2 {
                        let signed = _mm256_sign_epi8(value, weights[side]);
                        let pairs = _mm256_maddubs_epi16(sizes[side], signed);
                        dots[side] = _mm256_add_epi32(dots[side], _mm256_madd_epi16(pairs, ones));
                    }
                }
            }
        }
        // SAFETY: a chunk begins with its scales.
        let scales = unsafe { scales(chunk) };
        let row_scales = &self.input.scales[first..first + ROWS];
        for ((totals, dots), scale) in totals.iter_mut().zip(&dots).zip(row_scales) {
            let scale = _mm256_set1_ps(*scale);
            for half in 0..2 {
                let scale = _mm256_mul_ps(scales[half], scale);
                totals[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[half]), scale, totals[half]);
            }
        }
    }
}

/// Asks for the weights that come a few chunks later.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch(chunk: *const u8) {
    for line in 0..CHUNK.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(chunk.wrapping_add(AHEAD + line * 64).cast());
    }
}

/// The scales of 16 weight rows.
///
/// # Safety
/// A chunk is there.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scales(chunk: *const u8) -> [__m256; 2] {
    // SAFETY: a chunk begins with 32 bytes of scales.
    unsafe {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(chunk.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(chunk.add(16).cast())),
        ]
    }
}

/// The weights of four columns of 8 rows.
///
/// # Safety
/// 32 bytes are there.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load(place: *const u8) -> __m256i {
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_loadu_si256(place.cast()) }
}
