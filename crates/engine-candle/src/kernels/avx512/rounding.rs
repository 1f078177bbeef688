//! Rounding of activations.

use std::arch::x86_64::{
    _CMP_UNORD_Q, _mm_cvtsi128_si32, _mm_extract_epi32, _mm_hadd_epi32, _mm_setzero_si128,
    _mm256_castsi256_si128, _mm256_dpbusd_epi32, _mm256_extracti128_si256, _mm256_set_m128i,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_storeu_si256, _mm512_abs_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_epi8, _mm512_cvtps_epi32, _mm512_loadu_ps, _mm512_max_ps, _mm512_mul_ps,
    _mm512_reduce_max_ps, _mm512_set1_ps,
};

use super::super::blocks::BLOCK;
use super::super::input::SMALLEST;

/// Rounds one block as `round_with` in `input.rs` does; `None` when a value is no number.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) fn round(source: &[f32; BLOCK], target: &mut [i8; BLOCK]) -> Option<(f32, [i16; 2])> {
    // SAFETY: a block is 32 values.
    let halves = unsafe {
        [
            _mm512_loadu_ps(source.as_ptr()),
            _mm512_loadu_ps(source.as_ptr().add(BLOCK / 2)),
        ]
    };
    if _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(halves[0], halves[1]) != 0 {
        return None;
    }
    let largest = _mm512_max_ps(_mm512_abs_ps(halves[0]), _mm512_abs_ps(halves[1]));
    let largest = _mm512_reduce_max_ps(largest);
    if largest < SMALLEST {
        target.fill(0);
        return Some((0.0, [0; 2]));
    }
    let inverse = _mm512_set1_ps(127.0 / largest);
    let codes = halves.map(|half| {
        let whole = _mm512_cvtps_epi32(_mm512_mul_ps(half, inverse));
        _mm512_cvtepi32_epi8(whole)
    });
    let codes = _mm256_set_m128i(codes[1], codes[0]);
    // SAFETY: as many bytes are there.
    unsafe { _mm256_storeu_si256(target.as_mut_ptr().cast(), codes) };
    let sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), codes);
    let sums = _mm_hadd_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let sums = _mm_hadd_epi32(sums, _mm_setzero_si128());
    let short = |sum: i32| i16::from_le_bytes([sum.to_le_bytes()[0], sum.to_le_bytes()[1]]);
    let sums = [
        short(_mm_cvtsi128_si32(sums)),
        short(_mm_extract_epi32::<1>(sums)),
    ];
    Some((largest / 127.0, sums))
}
