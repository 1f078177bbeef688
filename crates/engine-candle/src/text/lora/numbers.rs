//! The numbers of an adapter's matrices in memory.

use std::collections::TryReserveError;
use std::ops::Range;

use half::f16;

use crate::kernels::Buffer;

/// Numbers that are computed side by side.
pub(super) const LANES: usize = 16;

/// Exponent that the largest number of a row gets in f16: one below the largest that there is.
const TOP: i32 = 14;
/// Exponents of powers of two that are normal numbers.
const EXPONENTS: std::ops::RangeInclusive<i32> = -126..=127;
/// The largest number in eight bits.
const MOST: f32 = 127.0;

/// The number format of an adapter in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdapterFormat {
    /// For models in f32: as the file says it.
    Single,
    /// For models in sixteen bits: f16 with a power of two for each row of `A` and each column of `B`. Files in bf16
    /// and f16 stay as they are, but for what is less than a billionth of a row's largest number.
    Half,
    /// For quantised models, whose own weights are rounded as much: eight bits with a factor for each row of `A`
    /// and, in f16, for each row of `B`.
    Byte,
}

/// All numbers of an adapter in the order in which a pass reads them, in groups of [`LANES`].
pub(super) struct Arena {
    format: AdapterFormat,
    buffer: Buffer,
    /// Groups that are written.
    used: usize,
}

/// Some groups of an arena.
#[derive(Debug, Clone, Copy)]
pub(super) enum Groups<'adapter> {
    Single(&'adapter [[f32; LANES]]),
    /// The bits of f16.
    Half(&'adapter [[u16; LANES]]),
    Byte(&'adapter [[i8; LANES]]),
}

impl AdapterFormat {
    /// Bytes of a number.
    fn size(self) -> usize {
        match self {
            Self::Single => size_of::<f32>(),
            Self::Half => size_of::<u16>(),
            Self::Byte => size_of::<i8>(),
        }
    }

    /// Groups of a piece of `B`: sixteen rows of so many columns, and the factors of the rows.
    pub(super) fn piece_groups(self, rank: usize) -> usize {
        match self {
            Self::Single | Self::Half => rank,
            Self::Byte => rank + size_of::<f16>(),
        }
    }

    /// Bytes of so many groups.
    pub(super) fn bytes(self, groups: usize) -> usize {
        groups * LANES * self.size()
    }

    /// What the numbers of a row of `A` are multiplied with to fit, by the largest of them.
    pub(super) fn row_factor(self, largest: f32) -> f64 {
        match self {
            Self::Byte if largest > 0.0 => f64::from(MOST) / f64::from(largest),
            _ => self.column_factor(largest),
        }
    }

    /// What the numbers of a column of `B` are multiplied with to fit, by the largest of them.
    pub(super) fn column_factor(self, largest: f32) -> f64 {
        if self == Self::Single || largest == 0.0 {
            return 1.0;
        }
        // The exponent of a subnormal number is taken for a larger one, and the bounds are for those.
        #[expect(clippy::cast_possible_wrap, reason = "an exponent has eight bits")]
        let exponent = (largest.to_bits() >> 23) as i32 - 127;
        2.0_f64.powi((TOP - exponent).clamp(*EXPONENTS.start(), *EXPONENTS.end()))
    }
}

impl Arena {
    /// With room for so many groups.
    ///
    /// # Errors
    /// When the system does not give as much.
    pub(super) fn new(format: AdapterFormat, groups: usize) -> Result<Self, TryReserveError> {
        Ok(Self {
            format,
            buffer: Buffer::zeroed(format.bytes(groups))?,
            used: 0,
        })
    }

    pub(super) fn format(&self) -> AdapterFormat {
        self.format
    }

    /// Writes a row of `A`, each number times the factor, and fills its last group up with zeros.
    pub(super) fn push_row(&mut self, row: &[f32], factor: f64) {
        for values in row.chunks(LANES) {
            let mut group = [0.0; LANES];
            for (place, value) in group.iter_mut().zip(values) {
                *place = times(*value, factor);
            }
            self.push(group);
        }
    }

    /// Writes a piece of `B`: up to sixteen rows of as many columns as there are factors. A row that is not there
    /// is one of zeros.
    pub(super) fn push_piece(&mut self, rows: &[f32], factors: &[f64]) {
        let rank = factors.len();
        let mut columns = vec![[0.0; LANES]; rank];
        for (lane, row) in rows.chunks_exact(rank).enumerate() {
            for ((column, value), factor) in columns.iter_mut().zip(row).zip(factors) {
                column[lane] = times(*value, *factor);
            }
        }
        if self.format == AdapterFormat::Byte {
            self.push_bytes(&mut columns);
        } else {
            for column in columns {
                self.push(column);
            }
        }
    }

    /// Writes a piece in eight bits, and behind it the factors of its rows.
    fn push_bytes(&mut self, columns: &mut [[f32; LANES]]) {
        let mut factors = [f16::ZERO; LANES];
        for lane in 0..LANES {
            let largest = columns
                .iter()
                .fold(0.0_f32, |largest, column| largest.max(column[lane].abs()));
            factors[lane] = f16::from_f32(largest / MOST);
            for column in columns.iter_mut() {
                let factor = factors[lane].to_f32();
                column[lane] = if factor > 0.0 { column[lane] / factor } else { 0.0 };
            }
        }
        for column in &*columns {
            self.push(*column);
        }
        let bytes = self.next(size_of::<f16>());
        for (place, factor) in bytes.chunks_exact_mut(size_of::<f16>()).zip(factors) {
            place.copy_from_slice(&factor.to_ne_bytes());
        }
    }

    /// Writes a group of numbers that fit the format.
    fn push(&mut self, group: [f32; LANES]) {
        let format = self.format;
        let bytes = self.next(1);
        for (place, value) in bytes.chunks_exact_mut(format.size()).zip(group) {
            match format {
                AdapterFormat::Single => place.copy_from_slice(&value.to_ne_bytes()),
                AdapterFormat::Half => place.copy_from_slice(&f16::from_f32(value).to_ne_bytes()),
                AdapterFormat::Byte => {
                    #[expect(clippy::cast_possible_truncation, reason = "it is within eight bits")]
                    let value = value.clamp(-MOST, MOST).round_ties_even() as i8;
                    place.copy_from_slice(&value.to_ne_bytes());
                }
            }
        }
    }

    /// The bytes of the next groups.
    fn next(&mut self, groups: usize) -> &mut [u8] {
        let start = self.format.bytes(self.used);
        self.used += groups;
        let end = self.format.bytes(self.used);
        &mut self.buffer.bytes_mut()[start..end]
    }

    /// Groups that are written so far.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Some groups.
    pub(super) fn groups(&self, groups: Range<usize>) -> Groups<'_> {
        let bytes = &self.buffer.bytes()[self.format.bytes(groups.start)..self.format.bytes(groups.end)];
        // SAFETY: any bytes are such numbers. The buffer begins with a cache line, and a group is where its number
        // of bytes says, so there is nothing before the first group and behind the last one.
        #[expect(unsafe_code, reason = "bytes are numbers")]
        unsafe {
            match self.format {
                AdapterFormat::Single => Groups::Single(bytes.align_to().1),
                AdapterFormat::Half => Groups::Half(bytes.align_to().1),
                AdapterFormat::Byte => Groups::Byte(bytes.align_to().1),
            }
        }
    }
}

/// A number times a factor that may be beyond f32.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what is computed in")]
fn times(value: f32, factor: f64) -> f32 {
    (f64::from(value) * factor) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is left of a number in a row of `A`.
    fn kept(format: AdapterFormat, value: f32, largest: f32) -> f64 {
        let mut arena = Arena::new(format, 1).unwrap();
        let factor = format.row_factor(largest);
        arena.push_row(&[value], factor);
        let kept = match arena.groups(0..1) {
            Groups::Single(groups) => groups[0][0],
            Groups::Half(groups) => f16::from_bits(groups[0][0]).to_f32(),
            Groups::Byte(groups) => f32::from(groups[0][0]),
        };
        f64::from(kept) / factor
    }

    #[test]
    fn numbers_of_any_size_are_kept() {
        for (format, error) in [
            (AdapterFormat::Single, 0.0),
            (AdapterFormat::Half, 5e-4),
            (AdapterFormat::Byte, 1e-6),
        ] {
            for largest in [f32::MAX, 65_536.0, 1.0, 3e-5, f32::MIN_POSITIVE] {
                let kept = kept(format, -largest, largest) / f64::from(-largest);
                assert!((kept - 1.0).abs() <= error, "{format:?}, {largest}: {kept}");
            }
            assert_eq!(kept(format, 0.0, 0.0).to_bits(), 0_f64.to_bits());
            assert!(kept(format, 1e-42, 1e-42).is_finite());
        }
        // A step of eight bits, at most half of it off.
        let kept = kept(AdapterFormat::Byte, 0.3, 1.0);
        assert!(
            (kept - 0.3).abs() < 0.5 / 127.0 && (kept - 0.3).abs() > 1e-4,
            "{kept}"
        );
    }

    #[test]
    fn rows_of_b_have_factors_of_their_own_in_eight_bits() {
        let mut arena = Arena::new(AdapterFormat::Byte, AdapterFormat::Byte.piece_groups(2)).unwrap();
        arena.push_piece(&[1.0, -0.5, 0.001, 0.002, 0.0, 0.0], &[1.0, 2.0]);
        let Groups::Byte(groups) = arena.groups(0..4) else {
            panic!("eight bits were asked for")
        };
        assert_eq!(
            (groups[0][..4].to_vec(), groups[1][..4].to_vec()),
            (vec![127, 32, 0, 0], vec![-127, 127, 0, 0])
        );
        let factor = |lane: usize| {
            let bytes = [
                groups[2 + lane / 8][lane * 2 % 16],
                groups[2 + lane / 8][lane * 2 % 16 + 1],
            ];
            f16::from_ne_bytes(bytes.map(i8::cast_unsigned)).to_f32()
        };
        assert!((factor(0) * 127.0 - 1.0).abs() < 1e-3 && (factor(1) * 127.0 - 0.004).abs() < 1e-5);
        assert_eq!((factor(2), arena.used()), (0.0, 4));
    }

    proptest! {
        /// Numbers with at most the eleven significant bits of f16, of which bf16 has eight.
        #[test]
        fn what_the_file_has_in_sixteen_bits_stays_as_it_is(
            significant in 0_u16..2048, below in 0_i32..18, exponent in -100_i32..100,
        ) {
            let value = f32::from(significant) * 2.0_f32.powi(exponent - below);
            // The row's largest number has up to 2^28 times the size.
            let largest = 1024.0 * 2.0_f32.powi(exponent);
            prop_assert!((kept(AdapterFormat::Half, value, largest) - f64::from(value)).abs() < f64::MIN_POSITIVE);
        }
    }
}
