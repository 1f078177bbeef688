//! Products of bytes with AMX: what Intel's server processors have since 2023.
//!
//! A tile product computes the integers of 16 input rows times 16 weight rows within a part; they are
//! scaled and added with AVX-512, as those of a few rows are without AMX. The integers are exact and
//! the order of the parts is the same, so the results are too, to the bit.
//!
//! The standard library has no stable functions for these instructions yet, so they are written in
//! assembly.

#![expect(unsafe_code, reason = "tile instructions read through pointers")]

mod scaling;

use std::arch::asm;
use std::arch::x86_64::{
    _MM_HINT_T0, _mm_prefetch, _mm512_loadu_ps, _mm512_setzero_ps, _mm512_store_si512, _mm512_storeu_ps,
};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::LazyLock;

use self::scaling::TileFormat;
use super::avx512::quads::{Format, Q4_0, Q4K, Q5_0, Q6K, Q8_0, QUADS, Rows};
use super::blocks::BLOCK;
use super::input::Rounded;
use super::layout::{LANES, QUAD};
use crate::gguf::TensorFormat;

/// Input rows of a tile product; fewer are not worth it.
pub(super) const TILE_ROWS: usize = 16;
/// Parts that are unpacked, and multiplied with all rows, before the next.
const STRIP: usize = 8;

/// Whether this processor has the instructions, the system lets the process use them, and the rest of
/// the work can be done with AVX-512.
pub(super) fn is_available() -> bool {
    static AVAILABLE: LazyLock<bool> =
        LazyLock::new(|| super::avx512::is_available() && processor_has_tiles() && system_allows_tiles());
    *AVAILABLE
}

/// Bits 24 (tiles) and 25 (products of bytes) of EDX in leaf 7 (Intel's manual, volume 2, CPUID).
fn processor_has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx >> 24 & 3 == 3
}

/// Asks Linux for the larger register state, for all threads of the process
/// (Documentation/arch/x86/xstate.rst). Other systems are not asked.
fn system_allows_tiles() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_PRCTL: isize = 158;
        const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
        const XFEATURE_XTILEDATA: usize = 18;
        let result: isize;
        // SAFETY: the call takes two numbers and reads and writes no memory of ours; the kernel
        // overwrites the three registers named.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// As [`super::scalar::quantised`].
///
/// # Safety
/// [`is_available`]. `rows` are at least [`TILE_ROWS`] rows of the input, which has as many columns as
/// the group; `sums` has 16 values for each row.
pub(super) unsafe fn quantised(
    format: TensorFormat,
    group: &[u8],
    input: &Rounded,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    // SAFETY: as the caller promises.
    unsafe {
        match format {
            TensorFormat::Q8_0 => products::<Q8_0>(group, input, rows, sums),
            TensorFormat::Q4_0 => products::<Q4_0>(group, input, rows, sums),
            TensorFormat::Q5_0 => products::<Q5_0>(group, input, rows, sums),
            TensorFormat::Q4K => products::<Q4K>(group, input, rows, sums),
            TensorFormat::Q6K => products::<Q6K>(group, input, rows, sums),
            TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => {}
        }
    }
}

/// What the tile registers hold: 0 and 1 sums, 2 and 3 input rows, 4 and 5 weights, 6 and 7 nothing.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row.
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Products of `columns` columns.
    fn of(columns: usize) -> Self {
        let rows = TILE_ROWS.to_le_bytes()[0];
        let columns = columns.to_le_bytes()[0];
        let quads = columns / 4;
        let mut config = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let quad = u16::from(QUAD.to_le_bytes()[0]);
        for (place, (row_bytes, rows)) in [(quad, rows), (u16::from(columns), rows), (quad, quads)]
            .into_iter()
            .enumerate()
        {
            config.row_bytes[2 * place..2 * place + 2].fill(row_bytes);
            config.rows[2 * place..2 * place + 2].fill(rows);
        }
        config
    }
}

/// The tile registers, set up; given back when dropped, so that switching threads stays cheap.
struct Tiles;

impl Tiles {
    /// # Safety
    /// [`is_available`].
    unsafe fn with(config: &Config) -> Self {
        // SAFETY: the configuration is one that the processor takes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack, readonly)) };
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: whoever made it has the instructions.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Some parts of a group, unpacked to signed bytes, and their scales.
#[repr(C, align(64))]
struct Strip<F: Format> {
    quads: [[[u8; QUAD]; QUADS]; STRIP],
    scales: [MaybeUninit<F::Scales>; STRIP],
}

/// The integers of one part: of 16 rows, and of both halves where they are kept apart.
#[repr(C, align(64))]
pub(super) struct Dots([[[u8; QUAD]; TILE_ROWS]; 2]);

/// # Safety
/// As [`quantised`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn products<F: TileFormat>(group: &[u8], input: &Rounded, range: Range<usize>, sums: &mut [f32]) {
    debug_assert!(range.len() >= TILE_ROWS, "rows of a tile");
    let columns = if F::HALVES { BLOCK / 2 } else { BLOCK };
    // SAFETY: as the caller promises.
    let _tiles = unsafe { Tiles::with(&Config::of(columns)) };
    sums.fill(0.0);
    // The last tile may begin among the rows of the one before; its sums are kept apart.
    let whole = range.len() / TILE_ROWS;
    let rest = range.len() % TILE_ROWS;
    let mut last = [0.0_f32; TILE_ROWS * LANES];
    let mut strip = Strip::<F> {
        quads: [[[0; QUAD]; QUADS]; STRIP],
        scales: [const { MaybeUninit::uninit() }; STRIP],
    };
    let blocks = group.len() / F::CHUNK * F::PARTS;
    for start in (0..blocks).step_by(STRIP) {
        let count = STRIP.min(blocks - start);
        // SAFETY: the group has the parts and the input the blocks; every tile has 16 rows, and
        // sixteen sums for each.
        unsafe {
            strip.unpack(group, start, count);
            for tile in 0..whole {
                ask(
                    group,
                    (start + STRIP) / F::PARTS * F::CHUNK,
                    STRIP / F::PARTS * F::CHUNK,
                    tile,
                    whole,
                );
                let first = range.start + tile * TILE_ROWS;
                let sums = &mut sums[tile * TILE_ROWS * LANES..][..TILE_ROWS * LANES];
                strip.multiply(input, start, count, first, sums);
            }
            if rest > 0 {
                strip.multiply(input, start, count, range.end - TILE_ROWS, &mut last);
            }
        }
    }
    let done = whole * TILE_ROWS * LANES;
    sums[done..].copy_from_slice(&last[(TILE_ROWS - rest) * LANES..]);
}

/// Asks for a tile's share of some bytes of a group from `start` on, so that reading the weights is
/// spread over the time that all tiles take. Behind the group's end is the next group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn ask(group: &[u8], start: usize, bytes: usize, tile: usize, tiles: usize) {
    let lines = bytes.div_ceil(64);
    for line in tile * lines / tiles..(tile + 1) * lines / tiles {
        _mm_prefetch::<_MM_HINT_T0>(group.as_ptr().wrapping_add(start + line * 64).cast());
    }
}

impl<F: TileFormat> Strip<F> {
    /// # Safety
    /// AVX-512 with VNNI, and `count` parts in the group from `start` on, which begins a chunk.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn unpack(&mut self, group: &[u8], start: usize, count: usize) {
        for index in 0..count {
            let (chunk, part) = ((start + index) / F::PARTS, (start + index) % F::PARTS);
            let chunk = group[chunk * F::CHUNK..][..F::CHUNK].as_ptr();
            // SAFETY: the chunk is whole, and the places are aligned.
            unsafe {
                let quads = F::quads(chunk, part);
                for (place, quad) in self.quads[index].iter_mut().zip(quads) {
                    _mm512_store_si512(place.as_mut_ptr().cast(), F::signed(quad));
                }
                self.scales[index].write(F::scales(chunk, &F::head(chunk), part));
            }
        }
    }

    /// Adds the products with 16 input rows.
    ///
    /// # Safety
    /// As [`products`]; `count` parts are unpacked, the input has as many blocks from `start` on, and
    /// 16 rows from `first` on.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn multiply(&self, input: &Rounded, start: usize, count: usize, first: usize, sums: &mut [f32]) {
        debug_assert_eq!(sums.len(), TILE_ROWS * LANES, "sums of a tile");
        let mut dots = [const { MaybeUninit::<Dots>::uninit() }; STRIP];
        let range = first..first + TILE_ROWS;
        // SAFETY: as the caller promises; the integers of all parts are stored before they are read.
        unsafe {
            let mut index = 0;
            while index < count {
                let rows = Rows::of(input, start + index, range.clone());
                let here = Operands::of(&self.quads[index], &rows, dots[index].as_mut_ptr());
                if F::HALVES {
                    integers_of_two(&here, &here.second_half());
                    index += 1;
                } else if index + 1 < count {
                    let rows = Rows::of(input, start + index + 1, range.clone());
                    let next = Operands::of(&self.quads[index + 1], &rows, dots[index + 1].as_mut_ptr());
                    integers_of_two(&here, &next);
                    index += 2;
                } else {
                    integers(&here);
                    index += 1;
                }
            }
            let mut totals = [_mm512_setzero_ps(); TILE_ROWS];
            for (row, total) in totals.iter_mut().enumerate() {
                *total = _mm512_loadu_ps(sums.as_ptr().add(row * LANES));
            }
            for (index, dots) in dots.iter().enumerate().take(count) {
                let rows = Rows::of(input, start + index, range.clone());
                // The next tile's values follow.
                for line in 0..TILE_ROWS * BLOCK / 64 {
                    let next = rows.values().wrapping_add(TILE_ROWS * BLOCK + line * 64);
                    _mm_prefetch::<_MM_HINT_T0>(next);
                }
                let scales = self.scales[index].assume_init_ref();
                F::add_tile(scales, dots.as_ptr(), &rows, &mut totals);
            }
            for (row, total) in totals.iter().enumerate() {
                _mm512_storeu_ps(sums.as_mut_ptr().add(row * LANES), *total);
            }
        }
    }
}

/// What a tile product reads and writes: quads 64 bytes apart, input rows 32, and sums' rows 64.
struct Operands {
    weights: *const [u8; QUAD],
    values: *const i8,
    dots: *mut [[u8; QUAD]; TILE_ROWS],
}

impl Operands {
    fn of(quads: &[[u8; QUAD]; QUADS], rows: &Rows, dots: *mut Dots) -> Self {
        Self {
            weights: quads.as_ptr(),
            values: rows.values(),
            dots: dots.cast(),
        }
    }

    /// # Safety
    /// These are the first half of a part.
    unsafe fn second_half(&self) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                weights: self.weights.add(QUADS / 2),
                values: self.values.add(BLOCK / 2),
                dots: self.dots.add(1),
            }
        }
    }
}

/// The integers of one part.
///
/// # Safety
/// [`Tiles`] are set up for what the operands are.
#[inline]
unsafe fn integers(operands: &Operands) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "tileloadd tmm4, [{weights} + {quad}*1]",
            "tileloadd tmm2, [{values} + {block}*1]",
            "tilezero tmm0",
            "tdpbssd tmm0, tmm2, tmm4",
            "tilestored [{dots} + {quad}*1], tmm0",
            weights = in(reg) operands.weights,
            values = in(reg) operands.values,
            dots = in(reg) operands.dots,
            quad = in(reg) QUAD,
            block = in(reg) BLOCK,
            out("tmm0") _, out("tmm2") _, out("tmm4") _,
            options(nostack),
        );
    }
}

/// Those of two parts, or of both halves of one, which overlap.
///
/// # Safety
/// As [`integers`].
#[inline]
unsafe fn integers_of_two(first: &Operands, second: &Operands) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "tileloadd tmm4, [{weights} + {quad}*1]",
            "tileloadd tmm2, [{values} + {block}*1]",
            "tilezero tmm0",
            "tdpbssd tmm0, tmm2, tmm4",
            "tileloadd tmm5, [{next_weights} + {quad}*1]",
            "tileloadd tmm3, [{next_values} + {block}*1]",
            "tilezero tmm1",
            "tdpbssd tmm1, tmm3, tmm5",
            "tilestored [{dots} + {quad}*1], tmm0",
            "tilestored [{next_dots} + {quad}*1], tmm1",
            weights = in(reg) first.weights,
            values = in(reg) first.values,
            dots = in(reg) first.dots,
            next_weights = in(reg) second.weights,
            next_values = in(reg) second.values,
            next_dots = in(reg) second.dots,
            quad = in(reg) QUAD,
            block = in(reg) BLOCK,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
            options(nostack),
        );
    }
}
