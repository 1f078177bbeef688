//! The inner loops of an adapter's products, in sixteen lanes.
//!
//! Every value has one order of additions, whatever the instructions: the same bits with AVX-512, with AVX2 and
//! with fused additions of any other processor.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::numbers::{Groups, LANES};

/// Groups of lanes of a sum of products: an addition takes as long as so many of them.
const SUMS: usize = 4;
/// Pieces of outputs whose sums are computed side by side, for the same reason.
const PIECES: usize = 4;
/// How far ahead numbers are asked for, in bytes: they lie in the order in which they are read, but the processor by
/// itself follows no stream across the end of a page, and an adapter's streams are short. Measured with 2, 4 and 8 KiB.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;

/// The instructions that adapters are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    /// None but the compiler's; with fused additions where these are an instruction, as on 64-bit ARM.
    Plain { fused: bool },
    /// AVX2, FMA and F16C; only of a processor that has them.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512; only of a processor that has it.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// The best ones that this processor has.
    pub(super) fn best() -> Self {
        Self::vectorised().into_iter().next().unwrap_or(Self::Plain {
            fused: cfg!(target_arch = "aarch64"),
        })
    }

    /// All that this processor has vector instructions for, the best ones first.
    pub(super) fn vectorised() -> impl IntoIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let found = {
            let avx2 = std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
                && std::arch::is_x86_feature_detected!("f16c");
            let avx512 = avx2 && std::arch::is_x86_feature_detected!("avx512f");
            [avx512.then_some(Self::Avx512), avx2.then_some(Self::Avx2)]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let found = [None; 0];
        found.into_iter().flatten()
    }

    /// Computes `sums[r] = scales[r] * (row r . input)` for as many rows as there are scales. A row takes whole
    /// groups, filled up with zeros.
    pub(super) fn dots(self, rows: Groups<'_>, scales: &[f32], input: &[f32], sums: &mut [f32]) {
        let groups = input.len().div_ceil(LANES);
        let places = scales.iter().zip(sums);
        match rows {
            Groups::Single(values) => self.dots_of(values, groups, input, places),
            Groups::Half(values) => self.dots_of(values, groups, input, places),
            Groups::Byte(values) => self.dots_of(values, groups, input, places),
        }
    }

    /// Adds to `output[16 i + lane]` the sum over all `r` of `factors[r] * piece i [r][lane]`, times what stands behind a
    /// piece in eight bits.
    pub(super) fn spread(self, pieces: Groups<'_>, factors: &[f32], output: &mut [f32]) {
        match pieces {
            Groups::Single(values) => self.spread_of(values, factors, output),
            Groups::Half(values) => self.spread_of(values, factors, output),
            Groups::Byte(values) => self.spread_of(values, factors, output),
        }
    }

    fn dots_of<'data, V: Value>(
        self,
        rows: &[[V; LANES]],
        groups: usize,
        input: &[f32],
        places: impl Iterator<Item = (&'data f32, &'data mut f32)>,
    ) {
        match self {
            // SAFETY: the processor has the features that the function is compiled for.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "whoever names the instructions has checked for them")]
            Self::Avx512 => unsafe { dots_avx512(rows, groups, input, places) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "whoever names the instructions has checked for them")]
            Self::Avx2 => unsafe { dots_avx2(rows, groups, input, places) },
            Self::Plain { fused: true } => dots::<Plain<true>, V>(rows, groups, input, places),
            Self::Plain { fused: false } => dots::<Plain<false>, V>(rows, groups, input, places),
        }
    }

    fn spread_of<V: Value>(self, pieces: &[[V; LANES]], factors: &[f32], output: &mut [f32]) {
        match self {
            // SAFETY: the processor has the features that the function is compiled for.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "whoever names the instructions has checked for them")]
            Self::Avx512 => unsafe { spread_avx512(pieces, factors, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "whoever names the instructions has checked for them")]
            Self::Avx2 => unsafe { spread_avx2(pieces, factors, output) },
            Self::Plain { fused: true } => spread::<Plain<true>, V>(pieces, factors, output),
            Self::Plain { fused: false } => spread::<Plain<false>, V>(pieces, factors, output),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
fn dots_avx512<'data, V: Value>(
    rows: &[[V; LANES]],
    groups: usize,
    input: &[f32],
    places: impl Iterator<Item = (&'data f32, &'data mut f32)>,
) {
    dots::<vector::Avx512, V>(rows, groups, input, places);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn dots_avx2<'data, V: Value>(
    rows: &[[V; LANES]],
    groups: usize,
    input: &[f32],
    places: impl Iterator<Item = (&'data f32, &'data mut f32)>,
) {
    dots::<vector::Avx2, V>(rows, groups, input, places);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
fn spread_avx512<V: Value>(pieces: &[[V; LANES]], factors: &[f32], output: &mut [f32]) {
    spread::<vector::Avx512, V>(pieces, factors, output);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn spread_avx2<V: Value>(pieces: &[[V; LANES]], factors: &[f32], output: &mut [f32]) {
    spread::<vector::Avx2, V>(pieces, factors, output);
}

#[inline(always)]
fn dots<'data, W: Widen, V: Value>(
    rows: &[[V; LANES]],
    groups: usize,
    input: &[f32],
    places: impl Iterator<Item = (&'data f32, &'data mut f32)>,
) {
    for ((scale, sum), row) in places.zip(rows.chunks_exact(groups)) {
        ask_ahead(row);
        *sum = scale * dot::<W, V>(row, input);
    }
}

/// The sum of products, in an order that follows from the length.
#[inline(always)]
fn dot<W: Widen, V: Value>(row: &[[V; LANES]], input: &[f32]) -> f32 {
    let mut sums = [[0.0_f32; LANES]; SUMS];
    let (input, rest) = input.as_chunks::<LANES>();
    let (row, row_rest) = row.split_at(input.len());
    let (turns, last) = input.as_chunks::<SUMS>();
    let (row_turns, row_last) = row.as_chunks::<SUMS>();
    for (row, input) in row_turns.iter().zip(turns) {
        for index in 0..SUMS {
            add_products::<W, V>(&mut sums[index], &row[index], &input[index]);
        }
    }
    for ((sums, row), input) in sums.iter_mut().zip(row_last).zip(last) {
        add_products::<W, V>(sums, row, input);
    }
    if let Some(row) = row_rest.first() {
        let mut filled = [0.0; LANES];
        filled[..rest.len()].copy_from_slice(rest);
        add_products::<W, V>(&mut sums[SUMS - 1], row, &filled);
    }
    total(sums)
}

/// The sum of all, by halves, quarters and so on: a chain of additions would take as long as most rows.
#[inline(always)]
fn total(sums: [[f32; LANES]; SUMS]) -> f32 {
    let [first, second, third, fourth] = sums;
    let mut sixteen = [0.0; LANES];
    for lane in 0..LANES {
        sixteen[lane] = (first[lane] + third[lane]) + (second[lane] + fourth[lane]);
    }
    let mut eight = [0.0; LANES / 2];
    for lane in 0..LANES / 2 {
        eight[lane] = sixteen[lane] + sixteen[lane + LANES / 2];
    }
    let mut four = [0.0; LANES / 4];
    for lane in 0..LANES / 4 {
        four[lane] = eight[lane] + eight[lane + LANES / 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

#[inline(always)]
fn add_products<W: Widen, V: Value>(sums: &mut [f32; LANES], row: &[V; LANES], input: &[f32; LANES]) {
    let row = V::widened::<W>(row);
    for lane in 0..LANES {
        sums[lane] = multiply_add::<W>(row[lane], input[lane], sums[lane]);
    }
}

#[inline(always)]
fn spread<W: Widen, V: Value>(pieces: &[[V; LANES]], factors: &[f32], output: &mut [f32]) {
    let size = factors.len() + V::FACTORS;
    let (together, rest) = output.as_chunks_mut::<{ PIECES * LANES }>();
    let (pieces, pieces_rest) = pieces.split_at(together.len() * PIECES * size);
    for (output, pieces) in together.iter_mut().zip(pieces.chunks_exact(PIECES * size)) {
        ask_ahead(pieces);
        let piece = |index: usize| &pieces[index * size..(index + 1) * size];
        spread_pieces::<W, V, PIECES>(std::array::from_fn(piece), factors, output);
    }
    for (output, piece) in rest.chunks_mut(LANES).zip(pieces_rest.chunks_exact(size)) {
        let mut filled = [0.0; LANES];
        filled[..output.len()].copy_from_slice(output);
        spread_pieces::<W, V, 1>([piece], factors, &mut filled);
        output.copy_from_slice(&filled[..output.len()]);
    }
}

#[inline(always)]
fn spread_pieces<W: Widen, V: Value, const COUNT: usize>(
    pieces: [&[[V; LANES]]; COUNT],
    factors: &[f32],
    output: &mut [f32],
) {
    let mut sums = [[0.0; LANES]; COUNT];
    for (row, factor) in factors.iter().enumerate() {
        for index in 0..COUNT {
            let values = V::widened::<W>(&pieces[index][row]);
            for lane in 0..LANES {
                sums[index][lane] = multiply_add::<W>(*factor, values[lane], sums[index][lane]);
            }
        }
    }
    for index in 0..COUNT {
        let sums = V::times_factors::<W>(sums[index], &pieces[index][factors.len()..]);
        for (output, sum) in output[index * LANES..].iter_mut().zip(sums) {
            *output += sum;
        }
    }
}

/// Asks for what lies [`AHEAD`] of these numbers.
#[inline(always)]
fn ask_ahead<V>(numbers: &[V]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(numbers)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let place = numbers.as_ptr().cast::<i8>().wrapping_add(AHEAD + line);
        // SAFETY: every x86-64 has the instruction, and it reads nothing, whatever is there.
        #[expect(unsafe_code, reason = "a hint to the processor")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(place);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}

#[inline(always)]
fn multiply_add<W: Widen>(left: f32, right: f32, sum: f32) -> f32 {
    // Without the instruction a fused operation would be a slow library call.
    if W::FUSED {
        left.mul_add(right, sum)
    } else {
        left * right + sum
    }
}

/// Instructions, as far as the compiler does not choose them by itself.
trait Widen {
    const FUSED: bool;

    /// Widens sixteen f16, which loses nothing.
    fn widen(values: &[u16; LANES]) -> [f32; LANES];
}

struct Plain<const FUSED: bool>;

impl<const FUSED: bool> Widen for Plain<FUSED> {
    const FUSED: bool = FUSED;

    #[inline(always)]
    fn widen(values: &[u16; LANES]) -> [f32; LANES] {
        let mut widened = [0.0; LANES];
        let values: &[half::f16] = values.as_slice().reinterpret_cast();
        values.convert_to_f32_slice(&mut widened);
        widened
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    #![expect(
        unsafe_code,
        reason = "only functions compiled for the instructions ask for these"
    )]

    use std::arch::x86_64::{
        _mm_loadu_si128, _mm256_cvtph_ps, _mm256_loadu_si256, _mm256_storeu_ps, _mm512_cvtph_ps,
        _mm512_storeu_ps,
    };

    use super::{LANES, Widen};

    pub(super) struct Avx2;

    impl Widen for Avx2 {
        const FUSED: bool = true;

        #[inline(always)]
        fn widen(values: &[u16; LANES]) -> [f32; LANES] {
            let mut widened = [0.0; LANES];
            for (values, widened) in values.chunks_exact(8).zip(widened.chunks_exact_mut(8)) {
                // SAFETY: eight values are there and have room, and the caller is compiled for F16C.
                unsafe {
                    let loaded = _mm_loadu_si128(values.as_ptr().cast());
                    _mm256_storeu_ps(widened.as_mut_ptr(), _mm256_cvtph_ps(loaded));
                }
            }
            widened
        }
    }

    pub(super) struct Avx512;

    impl Widen for Avx512 {
        const FUSED: bool = true;

        #[inline(always)]
        fn widen(values: &[u16; LANES]) -> [f32; LANES] {
            let mut widened = [0.0; LANES];
            // SAFETY: sixteen values are there and have room, and the caller is compiled for AVX-512.
            unsafe {
                let loaded = _mm256_loadu_si256(values.as_ptr().cast());
                _mm512_storeu_ps(widened.as_mut_ptr(), _mm512_cvtph_ps(loaded));
            }
            widened
        }
    }
}

/// A number of a matrix.
trait Value: Copy {
    /// Groups behind a piece of outputs that are the factors of these.
    const FACTORS: usize = 0;

    fn widened<W: Widen>(values: &[Self; LANES]) -> [f32; LANES];

    /// Multiplies sums with their factors.
    #[inline(always)]
    fn times_factors<W: Widen>(sums: [f32; LANES], _factors: &[[Self; LANES]]) -> [f32; LANES] {
        sums
    }
}

impl Value for f32 {
    #[inline(always)]
    fn widened<W: Widen>(values: &[Self; LANES]) -> [f32; LANES] {
        *values
    }
}

/// The bits of an f16.
impl Value for u16 {
    #[inline(always)]
    fn widened<W: Widen>(values: &[Self; LANES]) -> [f32; LANES] {
        W::widen(values)
    }
}

impl Value for i8 {
    const FACTORS: usize = size_of::<u16>();

    #[inline(always)]
    fn widened<W: Widen>(values: &[Self; LANES]) -> [f32; LANES] {
        let mut widened = [0.0; LANES];
        for lane in 0..LANES {
            widened[lane] = f32::from(values[lane]);
        }
        widened
    }

    #[inline(always)]
    fn times_factors<W: Widen>(mut sums: [f32; LANES], factors: &[[Self; LANES]]) -> [f32; LANES] {
        let mut bits = [0; LANES];
        let bytes = factors.as_flattened().as_chunks::<{ size_of::<u16>() }>().0;
        for (bits, bytes) in bits.iter_mut().zip(bytes) {
            *bits = u16::from_ne_bytes(bytes.map(i8::cast_unsigned));
        }
        let factors = W::widen(&bits);
        for lane in 0..LANES {
            sums[lane] *= factors[lane];
        }
        sums
    }
}

#[cfg(test)]
mod tests;
