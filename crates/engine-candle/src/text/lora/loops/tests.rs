use super::*;
use crate::text::lora::numbers::{AdapterFormat, Arena};

fn values(count: usize, seed: usize) -> Vec<f32> {
    let value = |index: usize| u8::try_from((index * 7919 + seed * 104_729) % 201).unwrap();
    (0..count)
        .map(|index| f32::from(value(index)) / 100.0 - 1.0)
        .collect()
}

const FORMATS: [AdapterFormat; 3] = [AdapterFormat::Single, AdapterFormat::Half, AdapterFormat::Byte];

/// Rows of `A`, of numbers up to 1.
fn rows(format: AdapterFormat, count: usize, width: usize, seed: usize) -> Arena {
    let mut arena = Arena::new(format, count * width.div_ceil(LANES)).unwrap();
    for row in 0..count {
        arena.push_row(&values(width, seed + row), format.row_factor(1.0));
    }
    arena
}

/// Pieces of `B`, of numbers up to 1.
fn pieces(format: AdapterFormat, rank: usize, outputs: usize) -> Arena {
    let mut arena = Arena::new(format, outputs.div_ceil(LANES) * format.piece_groups(rank)).unwrap();
    for rows in values(outputs * rank, 5).chunks(LANES * rank) {
        arena.push_piece(rows, &vec![format.column_factor(1.0); rank]);
    }
    arena
}

fn all(arena: &Arena) -> Groups<'_> {
    arena.groups(0..arena.used())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Whatever the processor has computes the same as plain code with fused additions.
#[test]
fn all_instructions_give_the_same_bits() {
    let plain = Instructions::Plain { fused: true };
    for format in FORMATS {
        for width in [1, 15, 16, 48, 64, 70, 144, 913] {
            let (input, scales) = (values(width, 3), [0.5, 3.0, -0.7, 1e-9]);
            let rows = rows(format, 4, width, 11);
            let with = |instructions: Instructions| {
                let mut sums = [0.0; 4];
                instructions.dots(all(&rows), &scales, &input, &mut sums);
                bits(&sums)
            };
            let expected = with(plain);
            for instructions in Instructions::vectorised() {
                assert_eq!(
                    with(instructions),
                    expected,
                    "{instructions:?}, {format:?}, {width}"
                );
            }
        }
        for (rank, outputs) in [(1, 5), (3, 37), (16, 160), (5, 64)] {
            let pieces = pieces(format, rank, outputs);
            let with = |instructions: Instructions| {
                let mut output = values(outputs, 9);
                instructions.spread(all(&pieces), &values(rank, 8), &mut output);
                bits(&output)
            };
            let expected = with(plain);
            assert_ne!(expected, bits(&values(outputs, 9)));
            for instructions in Instructions::vectorised() {
                assert_eq!(
                    with(instructions),
                    expected,
                    "{instructions:?}, {format:?}, {rank}"
                );
            }
        }
    }
}

#[test]
fn without_fused_additions_the_sums_are_as_near() {
    for format in FORMATS {
        let (rows, input) = (rows(format, 2, 913, 11), values(913, 3));
        let scale = [1.0 / format.row_factor(1.0); 2].map(|scale| f32::from(half::f16::from_f64(scale)));
        let with = |instructions: Instructions| {
            let mut sums = [0.0; 2];
            instructions.dots(all(&rows), &scale, &input, &mut sums);
            sums
        };
        let fused = with(Instructions::Plain { fused: true });
        let plain = with(Instructions::Plain { fused: false });
        for (fused, plain) in fused.into_iter().zip(plain) {
            assert!(
                fused.abs() > 0.1 && (fused - plain).abs() < 1e-4,
                "{fused}, {plain}"
            );
        }
    }
}
