use proptest::prelude::*;

use super::*;

/// Deterministic values around 0.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(i16::try_from(state >> 16).unwrap_or(1)) / 32_768.0 - 0.25
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn expected(input: &[f32], weight: &[f32], (rows, outputs, columns): (usize, usize, usize)) -> Vec<f64> {
    let element = |row: usize, output: usize| -> f64 {
        (0..columns)
            .map(|k| f64::from(input[row * columns + k]) * f64::from(weight[output * columns + k]))
            .sum()
    };
    (0..rows)
        .flat_map(|row| (0..outputs).map(move |output| element(row, output)))
        .collect()
}

fn assert_near(actual: &[f32], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert!(
            (f64::from(*actual) - expected).abs() < 1e-3,
            "{actual} is not {expected}"
        );
    }
}

fn check(rows: usize, outputs: usize, columns: usize, threads: usize) {
    let (input, weight) = (values(rows * columns, 1), values(outputs * columns, 2));
    let input = Matrix {
        data: input.as_slice(),
        rows,
        columns,
    };
    let rounded: Vec<bf16> = weight.iter().map(|value| bf16::from_f32(*value)).collect();
    let widened: Vec<f32> = rounded.iter().map(|value| value.to_f32()).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        let mut output = vec![f32::NAN; rows * outputs];
        multiply(
            input,
            Matrix {
                data: &weight,
                rows: outputs,
                columns,
            },
            &mut output,
        );
        assert_near(&output, &expected(input.data, &weight, (rows, outputs, columns)));
        output.fill(f32::NAN);
        multiply(
            input,
            Matrix {
                data: &rounded,
                rows: outputs,
                columns,
            },
            &mut output,
        );
        assert_near(&output, &expected(input.data, &widened, (rows, outputs, columns)));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn products_of_any_shape_are_right(rows in 1_usize..12, outputs in 1_usize..300, columns in 1_usize..100, threads in 1_usize..4) {
        check(rows, outputs, columns, threads);
    }
}

#[test]
fn products_large_enough_for_several_threads_are_right() {
    check(1, 700, 130, 3);
    check(3, 700, 130, 3);
    check(40, 700, 130, 3);
}

#[test]
fn plain_and_fused_instructions_agree() {
    let (weight, input) = (values(5 * 77, 3), values(77, 4));
    let (mut fast, mut plain) = (vec![0.0; 5], vec![0.0; 5]);
    dot_rows(&weight, &input, &mut fast);
    dot_rows_with::<f32, false>(&weight, &input, &mut plain);
    for (fast, plain) in fast.iter().zip(&plain) {
        assert!((fast - plain).abs() < 1e-4, "{fast} is not {plain}");
    }
}

#[test]
fn widening_keeps_every_bf16_value() {
    for bits in 0..=u16::MAX {
        let value = bf16::from_bits(bits);
        let (ours, theirs) = (value.widen(), value.to_f32());
        assert!(
            ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
            "{bits:#x}"
        );
    }
}
