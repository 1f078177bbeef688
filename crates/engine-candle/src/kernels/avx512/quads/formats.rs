//! The formats, as `layout.rs` puts them into chunks.

use std::arch::x86_64::{
    __m512, __m512i, _mm_loadu_si128, _mm256_loadu_si256, _mm512_add_epi8, _mm512_and_si512,
    _mm512_cvtepi16_epi32, _mm512_cvtepu8_epi32, _mm512_dpwssd_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps,
    _mm512_mul_ps, _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_slli_epi16, _mm512_slli_epi32, _mm512_srai_epi32, _mm512_srli_epi16, _mm512_sub_epi8,
    _mm512_xor_si512,
};

use super::super::super::layout::{LANES, PARTS, QUAD, SCALES};
use super::{Format, QUADS, Row, float, load, scales};

/// Codes of 8 bits.
pub(in super::super::super) struct Q8_0;
/// Codes of 4 bits, less 8.
pub(in super::super::super) struct Q4_0;
/// Codes of 5 bits, less 16.
pub(in super::super::super) struct Q5_0;
/// Codes of 4 bits, times a scale of 6 bits and less a minimum of 6 bits for each part.
pub(in super::super::super) struct Q4K;
/// Codes of 6 bits, less 32, times a scale of 8 bits for each half of a part.
pub(in super::super::super) struct Q6K;

/// What the formats have in common whose codes are signed, with one f16 scale for each block of 32.
macro_rules! one_scale {
    () => {
        const PARTS: usize = 1;
        const HALVES: bool = false;
        type Head = ();
        type Scales = __m512;

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn head(_: *const u8) {}

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn scales(chunk: *const u8, (): &(), _: usize) -> __m512 {
            // SAFETY: a chunk begins with its scales.
            unsafe { scales(chunk) }
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn signed(quad: __m512i) -> __m512i {
            flip(quad)
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn start(row: &Row) -> [__m512i; 2] {
            // SAFETY: as the caller promises.
            [unsafe { row.offset() }, _mm512_setzero_si512()]
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn add(scales: &__m512, dots: [__m512i; 2], row: &Row, total: __m512) -> __m512 {
            // SAFETY: as the caller promises.
            unsafe { row.scaled(float(dots[0]), *scales, total) }
        }
    };
}

impl Format for Q8_0 {
    const CHUNK: usize = LANES * 34;
    one_scale!();

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn quads(chunk: *const u8, _: usize) -> [__m512i; QUADS] {
        let mut quads = [_mm512_setzero_si512(); QUADS];
        for (index, quad) in quads.iter_mut().enumerate() {
            // SAFETY: a chunk has its scales and eight quads.
            *quad = flip(unsafe { load(chunk.add(SCALES + index * QUAD)) });
        }
        quads
    }
}

impl Format for Q4_0 {
    const CHUNK: usize = LANES * 18;
    one_scale!();

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn quads(chunk: *const u8, _: usize) -> [__m512i; QUADS] {
        // SAFETY: a chunk has its scales and four quads.
        let mut quads = unsafe { nibbles(chunk.add(SCALES)) };
        for quad in &mut quads {
            *quad = _mm512_add_epi8(*quad, _mm512_set1_epi8(120));
        }
        quads
    }
}

impl Format for Q5_0 {
    const CHUNK: usize = LANES * 22;
    one_scale!();

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn quads(chunk: *const u8, _: usize) -> [__m512i; QUADS] {
        // SAFETY: a chunk has its scales, a quad of fifth bits and four quads.
        let (fifth, mut quads) = unsafe {
            let place = chunk.add(SCALES);
            (load(place), nibbles(place.add(QUAD)))
        };
        let fifths = [
            _mm512_slli_epi16::<4>(bits(fifth, 1)),
            _mm512_slli_epi16::<3>(bits(fifth, 2)),
            _mm512_slli_epi16::<2>(bits(fifth, 4)),
            _mm512_slli_epi16::<1>(bits(fifth, 8)),
            bits(fifth, 16),
            _mm512_srli_epi16::<1>(bits(fifth, 32)),
            _mm512_srli_epi16::<2>(bits(fifth, 64)),
            _mm512_srli_epi16::<3>(bits(fifth, i8::MIN)),
        ];
        for (quad, fifth) in quads.iter_mut().zip(fifths) {
            *quad = _mm512_add_epi8(_mm512_or_si512(*quad, fifth), _mm512_set1_epi8(112));
        }
        quads
    }
}

impl Format for Q4K {
    const CHUNK: usize = LANES * (4 + 2 * PARTS + 128);
    const PARTS: usize = PARTS;
    const HALVES: bool = false;
    /// Scales and those of the minima.
    type Head = [__m512; 2];
    /// Scales and minima.
    type Scales = [__m512; 2];

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn head(chunk: *const u8) -> [__m512; 2] {
        // SAFETY: a chunk begins with its scales and those of its minima.
        unsafe { [scales(chunk), scales(chunk.add(SCALES))] }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn scales(chunk: *const u8, head: &[__m512; 2], part: usize) -> [__m512; 2] {
        let bytes = |offset: usize| {
            // SAFETY: after the scales a chunk has twice 16 bytes for each part.
            let bytes = unsafe { _mm_loadu_si128(chunk.add((2 + part) * SCALES + offset).cast()) };
            float(_mm512_cvtepu8_epi32(bytes))
        };
        [
            _mm512_mul_ps(head[0], bytes(0)),
            _mm512_mul_ps(head[1], bytes(LANES)),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn quads(chunk: *const u8, part: usize) -> [__m512i; QUADS] {
        // SAFETY: after the parts' scales a chunk has 8 quads for each pair of parts.
        unsafe {
            let first = chunk.add((2 + PARTS) * SCALES + part / 2 * QUADS * QUAD);
            if part.is_multiple_of(2) {
                codes::<0>(first)
            } else {
                codes::<4>(first)
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn signed(quad: __m512i) -> __m512i {
        quad
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn start(_: &Row) -> [__m512i; 2] {
        [_mm512_setzero_si512(); 2]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add([scales, minima]: &[__m512; 2], dots: [__m512i; 2], row: &Row, total: __m512) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe {
            let total = row.scaled(float(dots[0]), *scales, total);
            _mm512_fnmadd_ps(_mm512_mul_ps(*minima, row.scale()), row.total(), total)
        }
    }
}

impl Format for Q6K {
    const CHUNK: usize = LANES * 210;
    const PARTS: usize = PARTS;
    const HALVES: bool = true;
    type Head = __m512;
    /// Scales, then those of the halves.
    type Scales = [__m512; 3];

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn head(chunk: *const u8) -> __m512 {
        // SAFETY: a chunk begins with its scales.
        unsafe { scales(chunk) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn scales(chunk: *const u8, head: &__m512, part: usize) -> [__m512; 3] {
        // SAFETY: after the scales a chunk has 32 bytes for each part.
        let pairs = unsafe { _mm256_loadu_si256(chunk.add((1 + part) * SCALES).cast()) };
        let pairs = _mm512_cvtepi16_epi32(pairs);
        [
            *head,
            float(_mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(pairs))),
            float(_mm512_srai_epi32::<8>(pairs)),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn quads(chunk: *const u8, part: usize) -> [__m512i; QUADS] {
        // SAFETY: after the parts' scales a chunk has for each half of the parts 16 quads of low and
        // 8 of high bits.
        unsafe {
            let first = chunk.add((1 + PARTS) * SCALES + part / 4 * 24 * QUAD);
            let second = first.add(QUADS * QUAD);
            let high = first.add(2 * QUADS * QUAD);
            match part % 4 {
                0 => with_high_bits::<4, 0>(codes::<0>(first), high, 0x03),
                1 => with_high_bits::<2, 0>(codes::<0>(second), high, 0x0c),
                2 => with_high_bits::<0, 0>(codes::<4>(first), high, 0x30),
                _ => with_high_bits::<0, 2>(codes::<4>(second), high, -0x40),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn signed(quad: __m512i) -> __m512i {
        _mm512_sub_epi8(quad, _mm512_set1_epi8(32))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn start(row: &Row) -> [__m512i; 2] {
        // SAFETY: as the caller promises.
        let sums = unsafe { row.sums() };
        let zero = _mm512_setzero_si512();
        // -32 times the first half's sum, then the second's.
        [
            _mm512_dpwssd_epi32(zero, sums, _mm512_set1_epi32(0x0000_ffe0)),
            _mm512_dpwssd_epi32(zero, sums, _mm512_set1_epi32(-0x0020_0000)),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add(
        [scales, first, second]: &[__m512; 3],
        dots: [__m512i; 2],
        row: &Row,
        total: __m512,
    ) -> __m512 {
        // Each product is at most 16 * 32 * 127 * 128, and their sum below 2^24: both are exact.
        let dots = _mm512_fmadd_ps(float(dots[0]), *first, _mm512_mul_ps(float(dots[1]), *second));
        // SAFETY: as the caller promises.
        unsafe { row.scaled(dots, *scales, total) }
    }
}

/// From signed bytes to unsigned ones that are 128 larger, or back.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn flip(quad: __m512i) -> __m512i {
    _mm512_xor_si512(quad, _mm512_set1_epi8(i8::MIN))
}

/// The bits of `mask` of each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn bits(quad: __m512i, mask: i8) -> __m512i {
    _mm512_and_si512(quad, _mm512_set1_epi8(mask))
}

/// Four quads whose low halves are the first four of a part, and whose high halves the others.
///
/// # Safety
/// AVX-512, and four quads at `place`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn nibbles(place: *const u8) -> [__m512i; QUADS] {
    let low = _mm512_set1_epi8(15);
    let mut quads = [low; QUADS];
    for index in 0..QUADS / 2 {
        // SAFETY: there are four quads.
        let both = unsafe { load(place.add(index * QUAD)) };
        quads[index] = _mm512_and_si512(both, low);
        quads[index + QUADS / 2] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
    }
    quads
}

/// Eight quads of four bits of each byte: the low ones, or those from bit 4 on.
///
/// # Safety
/// AVX-512, and eight quads at `place`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn codes<const SHIFT: u32>(place: *const u8) -> [__m512i; QUADS] {
    let low = _mm512_set1_epi8(15);
    let mut quads = [low; QUADS];
    for (index, quad) in quads.iter_mut().enumerate() {
        // SAFETY: there are eight quads.
        let both = unsafe { load(place.add(index * QUAD)) };
        let shifted = if SHIFT == 0 {
            both
        } else {
            _mm512_srli_epi16::<SHIFT>(both)
        };
        *quad = _mm512_and_si512(shifted, low);
    }
    quads
}

/// Adds to each quad the bits of `mask` of the one of high bits, moved up or down.
///
/// # Safety
/// AVX-512, and eight quads at `place`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn with_high_bits<const UP: u32, const DOWN: u32>(
    mut quads: [__m512i; QUADS],
    place: *const u8,
    mask: i8,
) -> [__m512i; QUADS] {
    for (index, quad) in quads.iter_mut().enumerate() {
        // SAFETY: there are eight quads.
        let bits = bits(unsafe { load(place.add(index * QUAD)) }, mask);
        let bits = match (UP, DOWN) {
            (0, 0) => bits,
            (0, _) => _mm512_srli_epi16::<DOWN>(bits),
            _ => _mm512_slli_epi16::<UP>(bits),
        };
        *quad = _mm512_or_si512(*quad, bits);
    }
    quads
}
