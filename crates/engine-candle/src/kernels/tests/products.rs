//! Products: near the exact ones, and the same bits whatever the batch, the threads and the
//! instructions are.

use super::*;

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
}

fn matrix(format: TensorFormat, rows: usize, columns: usize, seed: u32) -> PackedMatrix {
    PackedMatrix::from_bytes(format, rows, columns, &weights(format, rows, columns, seed)).unwrap()
}

fn product(path: Path, threads: usize, matrix: &PackedMatrix, input: &[f32]) -> Vec<f32> {
    let rows = input.len() / matrix.columns();
    let mut output = vec![f32::NAN; rows * matrix.rows()];
    pool(threads).install(|| {
        matrix.multiply_with(
            path,
            &Input::new(input, rows, matrix.columns()),
            OutputColumns::whole(&mut output, matrix.rows()),
        );
    });
    output
}

/// With the input rounded as the kernels round it where the format asks for it, in f64.
fn expected(matrix: &PackedMatrix, input: &[f32]) -> Vec<f64> {
    let columns = matrix.columns();
    let weights = widened(matrix);
    let mut rounded = input.to_vec();
    if is_quantised(matrix.format()) {
        for block in rounded.chunks_mut(32) {
            let largest = block
                .iter()
                .fold(0.0_f32, |largest, value| largest.max(value.abs()));
            if largest > 0.0 {
                for value in block {
                    *value = (*value * (127.0 / largest)).round_ties_even() * (largest / 127.0);
                }
            }
        }
    }
    let element = |row: usize, output: usize| -> f64 {
        (0..columns)
            .map(|k| f64::from(rounded[row * columns + k]) * f64::from(weights[output * columns + k]))
            .sum()
    };
    (0..input.len() / columns)
        .flat_map(|row| (0..matrix.rows()).map(move |output| (row, output)))
        .map(|(row, output)| element(row, output))
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn any_format() -> impl Strategy<Value = TensorFormat> {
    prop::sample::select(TensorFormat::ALL.to_vec())
}

/// The paths with vector instructions that this processor can take, and the one for NEON, whose one
/// instruction is replaced elsewhere.
fn vectorised() -> impl Iterator<Item = Path> {
    Path::vectorised()
        .into_iter()
        .filter(|path| *path != Path::Neon)
        .chain([Path::Neon])
}

/// The paths that this processor can take.
fn paths() -> Vec<Path> {
    let mut paths = vec![Path::Scalar { fused: false }, Path::Scalar { fused: true }];
    paths.extend(vectorised());
    paths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_of_any_shape_are_right(format in any_format(), rows in 1_usize..20, outputs in 1_usize..70, blocks in 1_usize..5, seed in 0_u32..1000) {
        let columns = if is_quantised(format) { blocks * block_values(format) } else { blocks * 37 };
        let (matrix, input) = (matrix(format, outputs, columns, seed), values(rows * columns, seed + 9));
        let expected = expected(&matrix, &input);
        for path in paths() {
            for (actual, expected) in product(path, 2, &matrix, &input).iter().zip(&expected) {
                prop_assert!((f64::from(*actual) - expected).abs() < 1e-3, "{path:?}: {actual} is not {expected}");
            }
        }
    }

    #[test]
    fn all_instructions_give_the_bits_of_the_scalar_twin(format in any_format(), rows in 1_usize..80, outputs in 1_usize..40, blocks in 1_usize..12, seed in 0_u32..1000) {
        let columns = if is_quantised(format) { blocks * block_values(format) } else { blocks * 37 };
        let (matrix, input) = (matrix(format, outputs, columns, seed), values(rows * columns, seed + 9));
        let twin = product(Path::Scalar { fused: true }, 1, &matrix, &input);
        for path in vectorised() {
            prop_assert_eq!(bits(&product(path, 1, &matrix, &input)), bits(&twin), "{:?}", path);
        }
    }

    #[test]
    fn a_row_s_product_does_not_depend_on_the_batch_or_the_threads(format in any_format(), rows in 1_usize..140, outputs in 1_usize..70, seed in 0_u32..1000) {
        let columns = 512;
        let (matrix, input) = (matrix(format, outputs, columns, seed), values(rows * columns, seed + 9));
        for path in paths().into_iter().skip(1) {
            let together = product(path, 3, &matrix, &input);
            for row in [0, rows / 2, rows - 1] {
                let alone = product(path, 1, &matrix, &input[row * columns..][..columns]);
                prop_assert_eq!(bits(&together[row * outputs..][..outputs]), bits(&alone), "{:?} row {}", path, row);
            }
        }
    }
}

#[test]
fn rows_of_several_tiles_have_the_bits_of_the_scalar_twin() {
    // More than any path takes at a time, and no multiple of what it takes.
    let (rows, outputs) = (521, 19);
    for format in TensorFormat::ALL {
        let columns = 256;
        let (matrix, input) = (matrix(format, outputs, columns, 5), values(rows * columns, 6));
        let twin = product(Path::Scalar { fused: true }, 1, &matrix, &input);
        for path in vectorised() {
            // Which ones these are depends on the machine.
            println!("{path:?}, {}", format.name());
            assert_eq!(bits(&product(path, 1, &matrix, &input)), bits(&twin), "{path:?}");
        }
    }
}

/// Values at the ends of what f32 and the formats hold.
fn extremes(count: usize) -> Vec<f32> {
    let kinds = [0.0, -0.0, 1e-40, -1e-30, 1.0, -1.0, 1e4, -6e4, 3e4, 1e-3];
    // Every third block is zeros.
    let kind = |index: usize| {
        if (index / 32).is_multiple_of(3) {
            0
        } else {
            index * 7 % 10
        }
    };
    (0..count).map(|index| kinds[kind(index)]).collect()
}

#[test]
fn extreme_values_give_the_bits_of_the_scalar_twin_and_no_panic() {
    for format in TensorFormat::ALL {
        let columns = 512;
        let bytes = if blocks::ROUNDED.contains(&format) {
            let mut bytes = Vec::new();
            super::super::blocks::quantise(format, &extremes(19 * columns), &mut bytes).unwrap();
            bytes
        } else {
            weights(format, 19, columns, 3)
        };
        let matrix = PackedMatrix::from_bytes(format, 19, columns, &bytes).unwrap();
        for factor in [1.0, 1e30, 1e-38] {
            let input: Vec<f32> = extremes(33 * columns)
                .iter()
                .map(|value| value * factor)
                .collect();
            let twin = product(Path::Scalar { fused: true }, 1, &matrix, &input);
            for path in paths().into_iter().skip(1) {
                let actual = product(path, 1, &matrix, &input);
                for (actual, twin) in actual.iter().zip(&twin) {
                    assert!(
                        actual.to_bits() == twin.to_bits() || (actual.is_nan() && twin.is_nan()),
                        "{} times {factor}: {actual} is not {twin}",
                        format.name()
                    );
                }
            }
        }
    }
}

#[test]
fn the_most_that_integers_can_hold_does_not_overflow() {
    // Every byte of a weight block at its end, and every activation at the largest code.
    for format in [
        TensorFormat::Q4_0,
        TensorFormat::Q5_0,
        TensorFormat::Q8_0,
        TensorFormat::Q4K,
        TensorFormat::Q6K,
    ] {
        let scale = half::f16::ONE.to_le_bytes();
        for end in [0x00, 0x7f, 0x80, 0xff] {
            let mut block = vec![end; layout::block_bytes(format)];
            let place = if format == TensorFormat::Q6K { 208 } else { 0 };
            block[place..][..2].copy_from_slice(&scale);
            if format == TensorFormat::Q4K {
                block[2..4].copy_from_slice(&scale);
            }
            let columns = block_values(format);
            let matrix = PackedMatrix::from_bytes(format, 17, columns, &block.repeat(17)).unwrap();
            for sign in [1.0, -1.0] {
                let input = vec![sign * 127.0; 17 * columns];
                let expected = expected(&matrix, &input);
                for path in paths() {
                    for (actual, expected) in product(path, 1, &matrix, &input).iter().zip(&expected) {
                        let error = (f64::from(*actual) - expected).abs();
                        assert!(
                            error <= expected.abs() * 1e-6,
                            "{path:?} {}: {actual} is not {expected}",
                            format.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn parts_of_one_layer_are_written_side_by_side() {
    let (first, second) = (
        matrix(TensorFormat::Q8_0, 19, 64, 1),
        matrix(TensorFormat::Bf16, 5, 64, 2),
    );
    let data = values(3 * 64, 3);
    let input = Input::new(&data, 3, 64);
    let mut output = vec![f32::NAN; 3 * 25];
    for (matrix, offset) in [(&first, 0), (&second, 20)] {
        let columns = OutputColumns {
            data: &mut output,
            stride: 25,
            offset,
        };
        matrix.multiply(&input, columns);
    }
    for (row, output) in output.chunks(25).enumerate() {
        let input = &data[row * 64..][..64];
        assert_eq!(output[..19], product(Path::best(), 1, &first, input));
        assert!(output[19].is_nan(), "between the parts nothing is written");
        assert_eq!(output[20..], product(Path::best(), 1, &second, input));
    }
}

#[test]
fn an_output_that_is_too_small_is_refused() {
    let matrix = matrix(TensorFormat::F32, 4, 8, 1);
    let refused = std::panic::catch_unwind(|| {
        let mut output = vec![0.0; 7];
        matrix.multiply(
            &Input::new(&[0.0; 16], 2, 8),
            OutputColumns::whole(&mut output, 4),
        );
    });
    assert!(refused.is_err());
}

/// The squares of what products are off, summed: ours, and those of activations that `rounding`
/// rounds.
fn errors(format: TensorFormat, rounding: impl Fn(&mut [f32])) -> (f64, f64) {
    let (rows, outputs, columns) = (8, 48, 1024);
    let matrix = matrix(format, outputs, columns, 7);
    let weights = widened(&matrix);
    // A few large values among small ones, as activations are.
    let mut input = values(rows * columns, 8);
    for (index, value) in input.iter_mut().enumerate() {
        *value *= value.abs() * if index % 61 == 0 { 8.0 } else { 1.0 };
    }
    let mut rounded = input.clone();
    rounded.chunks_mut(columns).for_each(rounding);
    let dot = |values: &[f32], weights: &[f32]| -> f64 {
        let products = values.iter().zip(weights);
        products
            .map(|(value, weight)| f64::from(*value) * f64::from(*weight))
            .sum()
    };
    let ours = product(Path::best(), 1, &matrix, &input);
    let mut errors = (0.0, 0.0);
    for (index, ours) in ours.iter().enumerate() {
        let row = index / outputs * columns..(index / outputs + 1) * columns;
        let weights = &weights[index % outputs * columns..][..columns];
        let exact = dot(&input[row.clone()], weights);
        errors.0 += (f64::from(*ours) - exact).powi(2);
        errors.1 += (dot(&rounded[row], weights) - exact).powi(2);
    }
    errors
}

/// As ggml rounds: int8 times a scale, in f16 for blocks of 32 (Q8_0) and in f32 for 256 (Q8_K).
fn ggml_rounding(row: &mut [f32], block: usize) {
    for block in row.chunks_mut(block) {
        let largest = block
            .iter()
            .fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let scale = if block.len() == 32 {
            half::f16::from_f32(largest / 127.0).to_f32()
        } else {
            largest / 127.0
        };
        for value in block {
            *value = (*value * (127.0 / largest)).round() * scale;
        }
    }
}

#[test]
fn products_are_no_further_from_the_exact_ones_than_with_ggml_s_rounding_of_activations() {
    for format in [TensorFormat::Q8_0, TensorFormat::Q4_0, TensorFormat::Q5_0] {
        let (ours, ggml) = errors(format, |row| ggml_rounding(row, 32));
        assert!(ours <= ggml * 1.01, "{}: {ours} and {ggml}", format.name());
    }
    for format in [TensorFormat::Q4K, TensorFormat::Q6K] {
        let (ours, ggml) = errors(format, |row| ggml_rounding(row, 256));
        assert!(ours <= ggml / 2.0, "{}: {ours} and {ggml}", format.name());
    }
}
