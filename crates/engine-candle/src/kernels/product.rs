//! One product: its work cut into tiles and shared among threads.

use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::input::Panels;
use super::input::{Input, Rounded};
use super::layout::{LANES, is_quantised};
#[cfg(any(target_arch = "aarch64", test))]
use super::neon;
use super::output::{OutputColumns, Target};
use super::{PackedMatrix, scalar};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512};
use crate::memory::to_be_overwritten;

/// Input rows that plain code multiplies while a group of weight rows is at hand.
const SCALAR_ROWS: usize = 64;
/// Tiles are whole multiples of so many rows, as the kernels take them together.
const TILE_UNIT: usize = 16;
/// The most groups that share what is read of the input.
const MOST_GROUPS: usize = 2;
/// Multiplications below which handing work to other threads costs more than it saves.
const MIN_PARALLEL_WORK: usize = 1 << 18;
/// Pieces of work for each thread: enough that one that is interrupted does not hold up the rest.
const PIECES_PER_THREAD: usize = 4;

/// The instructions that products are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// None but the compiler's; with fused additions where these are an instruction, as on 64-bit
    /// ARM.
    Scalar { fused: bool },
    /// AVX2, FMA and F16C; only of a processor that has them.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with VNNI; only of a processor that has them.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same, and AMX where there are enough input rows; only of a processor that has them.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// NEON with dot products of bytes; only of a processor that has them, and in tests, which replace
    /// the one instruction.
    #[cfg(any(target_arch = "aarch64", test))]
    Neon,
}

impl Path {
    /// The best one that this processor has.
    pub(crate) fn best() -> Self {
        Self::vectorised().into_iter().next().unwrap_or(Self::Scalar {
            fused: cfg!(target_arch = "aarch64"),
        })
    }

    /// All that this processor has vector instructions for, the best one first.
    pub(crate) fn vectorised() -> impl IntoIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let found = [
            amx::is_available().then_some(Self::Amx),
            avx512::is_available().then_some(Self::Avx512),
            avx2::is_available().then_some(Self::Avx2),
        ];
        #[cfg(target_arch = "aarch64")]
        let found = [neon::is_available().then_some(Self::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let found = [None; 0];
        found.into_iter().flatten()
    }

    /// Input rows, of `rows`, that are multiplied while groups of weight rows are at hand.
    fn tile_rows(self, operand: Operand<'_>, rows: usize) -> usize {
        let (most, unit) = match (self, operand) {
            // Whole panels.
            #[cfg(target_arch = "x86_64")]
            (_, Operand::Panels(panels)) => (avx512::TILE_ROWS, panels.rows),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512 | Self::Amx, _) => (avx512::TILE_ROWS, TILE_UNIT),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, _) => (avx2::TILE_ROWS, TILE_UNIT),
            #[cfg(any(target_arch = "aarch64", test))]
            (Self::Neon, _) => (SCALAR_ROWS, TILE_UNIT),
            (Self::Scalar { .. }, _) => (SCALAR_ROWS, TILE_UNIT),
        };
        // About the same size each: the weights are read again for every tile, and a few rows are not
        // worth that.
        let most = most / unit * unit;
        rows.div_ceil(rows.div_ceil(most))
            .next_multiple_of(unit)
            .min(most)
    }
}

/// The input in the form that a path reads.
#[derive(Clone, Copy)]
enum Operand<'data> {
    Floats(&'data [f32]),
    #[cfg(target_arch = "x86_64")]
    Panels(&'data Panels),
    Rounded(&'data Rounded),
}

impl PackedMatrix {
    /// Computes `output[r][n] = input row r . weight row n` for all rows, on the threads of the rayon
    /// pool that the calling thread belongs to.
    ///
    /// # Panics
    /// When the input's rows are not as long as the weight's, or the output is too small.
    pub(crate) fn multiply(&self, input: &Input<'_>, output: OutputColumns<'_>) {
        self.multiply_with(Path::best(), input, output);
    }

    /// As [`Self::multiply`], with the instructions named, which this processor must have.
    pub(crate) fn multiply_with(&self, path: Path, input: &Input<'_>, output: OutputColumns<'_>) {
        assert_eq!(input.columns(), self.columns, "inner dimensions");
        if input.rows() == 0 || self.rows == 0 {
            return;
        }
        let operand = self.operand(path, input);
        let target = Target::new(output, input.rows(), self.rows);
        let groups = self.groups();
        let threads = rayon::current_num_threads();
        let tile_rows = path.tile_rows(operand, input.rows());
        for start in (0..input.rows()).step_by(tile_rows) {
            let rows = start..input.rows().min(start + tile_rows);
            if threads == 1 || rows.len() * self.rows * self.columns < MIN_PARALLEL_WORK {
                self.multiply_tile(path, operand, 0..groups, rows, &target);
                continue;
            }
            let pieces = groups.min(threads * PIECES_PER_THREAD);
            (0..pieces).into_par_iter().with_max_len(1).for_each(|piece| {
                let groups = piece * groups / pieces..(piece + 1) * groups / pieces;
                self.multiply_tile(path, operand, groups, rows.clone(), &target);
            });
        }
    }

    fn operand<'data>(&self, path: Path, input: &'data Input<'_>) -> Operand<'data> {
        if is_quantised(self.format) {
            return Operand::Rounded(input.rounded());
        }
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 | Path::Amx => Operand::Panels(input.panels(avx512::PANEL_ROWS)),
            _ => Operand::Floats(input.values()),
        }
    }

    /// Multiplies a tile of input rows with some groups of weight rows.
    fn multiply_tile(
        &self,
        path: Path,
        operand: Operand<'_>,
        groups: Range<usize>,
        rows: Range<usize>,
        target: &Target<'_>,
    ) {
        let mut sums = to_be_overwritten(rows.len() * LANES * MOST_GROUPS);
        for first in groups.clone().step_by(MOST_GROUPS) {
            let indices = first..groups.end.min(first + MOST_GROUPS);
            let sums = &mut sums[..indices.len() * rows.len() * LANES];
            self.multiply_groups(path, operand, indices.clone(), rows.clone(), sums);
            let sums = sums.as_chunks().0;
            // Row by row, so that what lies side by side is written together.
            for (index, row) in rows.clone().enumerate() {
                for (group, sums) in indices.clone().zip(sums[index..].iter().step_by(rows.len())) {
                    // SAFETY: the row is one of the input's and the columns are those of this group,
                    // which no other thread has.
                    #[expect(unsafe_code, reason = "threads write different columns of the same rows")]
                    unsafe {
                        target.write(row, group * LANES, sums);
                    }
                }
            }
        }
    }

    /// Multiplies one or two groups; `sums` has a value for each group, row and lane.
    fn multiply_groups(
        &self,
        path: Path,
        operand: Operand<'_>,
        groups: Range<usize>,
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        #[cfg(target_arch = "x86_64")]
        if matches!(path, Path::Avx512 | Path::Amx) {
            if let (Path::Amx, Operand::Rounded(input), amx::TILE_ROWS..) = (path, operand, rows.len()) {
                for (index, sums) in groups.zip(sums.chunks_exact_mut(rows.len() * LANES)) {
                    // SAFETY: as in `multiply_avx512`.
                    #[expect(unsafe_code, reason = "vector instructions")]
                    unsafe {
                        amx::quantised(self.format, self.group(index), input, rows.clone(), sums);
                    }
                }
                return;
            }
            if groups.len() == 2 {
                let pair = [self.group(groups.start), self.group(groups.start + 1)];
                self.multiply_avx512(operand, pair, rows, sums);
            } else {
                self.multiply_avx512(operand, [self.group(groups.start)], rows, sums);
            }
            return;
        }
        for (index, sums) in groups.zip(sums.chunks_exact_mut(rows.len() * LANES)) {
            self.multiply_group(path, operand, self.group(index), rows.clone(), sums);
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn multiply_avx512<const GROUPS: usize>(
        &self,
        operand: Operand<'_>,
        groups: [&[u8]; GROUPS],
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        // SAFETY: the path is only taken on processors that have the instructions; the shapes were
        // checked at the beginning of the product, and tiles begin with a panel.
        #[expect(unsafe_code, reason = "vector instructions")]
        unsafe {
            match operand {
                Operand::Panels(input) => avx512::floats(self.format, groups, input, rows, sums),
                Operand::Rounded(input) => avx512::quantised(self.format, groups, input, rows, sums),
                // Not what this path reads.
                Operand::Floats(_) => {}
            }
        }
    }

    fn multiply_group(
        &self,
        path: Path,
        operand: Operand<'_>,
        group: &[u8],
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        let format = self.format;
        match (path, operand) {
            (Path::Scalar { fused: false }, Operand::Floats(input)) => {
                scalar::floats::<false>(format, group, input, rows, sums);
            }
            (Path::Scalar { fused: true }, Operand::Floats(input)) => {
                scalar::floats::<true>(format, group, input, rows, sums);
            }
            (Path::Scalar { fused: false }, Operand::Rounded(input)) => {
                scalar::quantised::<false>(format, group, input, rows, sums);
            }
            (Path::Scalar { fused: true }, Operand::Rounded(input)) => {
                scalar::quantised::<true>(format, group, input, rows, sums);
            }
            // The compiler makes NEON code of the plain one for floats.
            #[cfg(any(target_arch = "aarch64", test))]
            (Path::Neon, Operand::Floats(input)) => {
                scalar::floats::<true>(format, group, input, rows, sums);
            }
            #[cfg(any(target_arch = "aarch64", test))]
            (Path::Neon, Operand::Rounded(input)) => neon::quantised(format, group, input, rows, sums),
            // SAFETY: the path is only taken on processors that have the instructions; the shapes
            // were checked at the beginning of the product.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "vector instructions")]
            (Path::Avx2, Operand::Floats(input)) => unsafe {
                avx2::floats(format, group, input, rows, sums);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "vector instructions")]
            (Path::Avx2, Operand::Rounded(input)) => unsafe {
                avx2::quantised(format, group, input, rows, sums);
            },
            // Multiplied two groups at a time, from panels.
            #[cfg(target_arch = "x86_64")]
            (Path::Avx512 | Path::Amx, _) | (_, Operand::Panels(_)) => {}
        }
    }
}
