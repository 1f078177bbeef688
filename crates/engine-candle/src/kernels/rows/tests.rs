use super::*;

/// Values between -8 and 8.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let value = |index: u32| (index * 7919 + seed * 104_729) % 1601;
    (0..)
        .map(|index| f32::from(u16::try_from(value(index)).unwrap()) / 100.0 - 8.0)
        .take(count)
        .collect()
}

fn assert_close(actual: &[f32], exact: impl IntoIterator<Item = f64>) {
    for (index, (actual, exact)) in actual.iter().zip(exact).enumerate() {
        let error = (f64::from(*actual) - exact).abs();
        assert!(
            error <= 4e-6 * exact.abs().max(1.0),
            "{index}: {actual} is not {exact}"
        );
    }
}

#[test]
fn gates_are_those_of_the_library_functions() {
    let input = values(2 * 77, 1);
    let (gates, ups) = input.split_at(77);
    let mut output = vec![f32::NAN; 77];
    let exact = |bend: fn(f64) -> f64| {
        let pairs = gates.iter().zip(ups);
        pairs.map(move |(gate, up)| bend(f64::from(*gate)) * f64::from(*up))
    };
    gate_silu(&mut output, &input);
    assert_close(&output, exact(|x| x / (1.0 + (-x).exp())));
    gate_gelu(&mut output, &input);
    assert_close(
        &output,
        exact(|x| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }),
    );
}

#[test]
fn gates_of_the_largest_and_of_no_numbers() {
    let input = [
        f32::MAX,
        f32::MIN,
        -200.0,
        200.0,
        f32::NAN,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
    ];
    let mut output = [9.0; 5];
    gate_silu(&mut output, &input);
    assert_eq!(
        (output[0].to_bits(), output[3].to_bits()),
        (f32::MAX.to_bits(), 200_f32.to_bits())
    );
    assert!(output[2].abs() < 1e-30 && output[4].is_nan(), "{output:?}");
    gate_gelu(&mut output, &input);
    assert!(
        output[3].to_bits() == 200_f32.to_bits() && output[2].abs() < 1e-30 && output[4].is_nan(),
        "{output:?}"
    );
}

#[test]
fn norms_are_those_of_the_formula() {
    for width in [1, 15, 16, 64, 131] {
        let (input, weights) = (values(width, 3), values(width, 4));
        let squares = input.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let mean = squares / f64::from(u32::try_from(width).unwrap());
        let factor = 1.0 / (mean + f64::from(1e-3_f32)).sqrt();
        let exact = |start: f64| {
            let pairs = input.iter().zip(&weights);
            pairs.map(move |(value, weight)| start + f64::from(*value) * factor * f64::from(*weight))
        };
        let mut row = input.clone();
        rms_norm(&mut row, &weights, 1e-3);
        assert_close(&row, exact(0.0));
        let mut onto = vec![2.0; width];
        rms_norm_onto(&mut onto, &input, &weights, 1e-3);
        assert_close(&onto, exact(2.0));
    }
}

#[test]
fn pairs_are_turned_by_their_angle() {
    let half = 37;
    let row = values(2 * half, 5);
    let angles: Vec<f32> = values(half, 6);
    let cosines: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
    let sines: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
    let mut turned = row.clone();
    rotate(&mut turned, &cosines, &sines);
    let exact = |index: usize| {
        let (left, right) = (f64::from(row[index % half]), f64::from(row[index % half + half]));
        let (cosine, sine) = (f64::from(cosines[index % half]), f64::from(sines[index % half]));
        if index < half {
            left * cosine - right * sine
        } else {
            left * sine + right * cosine
        }
    };
    assert_close(&turned, (0..2 * half).map(exact));
}

/// The loops named by a number, on one row.
#[cfg(target_arch = "x86_64")]
struct Any<'data>(&'data mut [f32], u8, &'data [f32], &'data [f32]);

#[cfg(target_arch = "x86_64")]
impl Loops for Any<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Any(output, work, input, weights) = self;
        match work {
            0 => Gate::<SILU> { output, input }.run::<FUSED>(),
            1 => Gate::<GELU> { output, input }.run::<FUSED>(),
            2 => NormOnto {
                output,
                input: &input[..203],
                weights,
                epsilon: 1e-5,
            }
            .run::<FUSED>(),
            _ => Rotate {
                row: &mut output[..202],
                cosines: weights,
                sines: input,
            }
            .run::<FUSED>(),
        }
    }
}

/// Each set of instructions against the plain twin with fused additions.
#[cfg(target_arch = "x86_64")]
#[test]
fn all_instructions_give_the_same_bits() {
    let input = values(2 * 203, 7);
    let weights = values(203, 8);
    let run = |with: &dyn Fn(&mut [f32], u8)| {
        let mut found = Vec::new();
        for work in 0..4 {
            let mut row = input[..203].to_vec();
            with(&mut row, work);
            found.extend(row.iter().map(|value| value.to_bits()));
        }
        found
    };
    let twin = run(&|row, work| Any(row, work, &input, &weights).run::<true>());
    // SAFETY: the processor is asked for the instructions before.
    #[expect(unsafe_code, reason = "the instructions are checked for")]
    unsafe {
        if crate::kernels::avx2::is_available() {
            assert_eq!(
                run(&|row, work| with_avx2(Any(row, work, &input, &weights))),
                twin
            );
        }
        if crate::kernels::avx512::is_available() {
            assert_eq!(
                run(&|row, work| with_avx512(Any(row, work, &input, &weights))),
                twin
            );
        }
    }
}
