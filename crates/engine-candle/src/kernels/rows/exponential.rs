//! Exponentials, many at once.

/// `e` to the power of a number that is not above 0, with a relative error below 2e-7; nothing is
/// smaller than about 1e-38. Unlike the library's it can be computed for many numbers at once.
#[inline(always)]
pub(crate) fn exponential<const FUSED: bool>(exponent: f32) -> f32 {
    /// Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Of the polynomial for the fraction, highest power first (the Cephes library's).
    const COEFFICIENTS: [f32; 6] = [
        1.987_569_2e-4,
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5e-1,
    ];
    // Not `max`, which would turn a number that is none into one.
    let exponent = if exponent < -87.0 { -87.0 } else { exponent };
    let shifted = multiply_add::<FUSED>(exponent, std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let fraction = multiply_add::<FUSED>(whole, -LN_2_HIGH, exponent);
    let fraction = multiply_add::<FUSED>(whole, -LN_2_LOW, fraction);
    let mut power = 0.0;
    for coefficient in COEFFICIENTS {
        power = multiply_add::<FUSED>(power, fraction, coefficient);
    }
    let power = multiply_add::<FUSED>(power * fraction, fraction, fraction) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    power * scale
}

/// `left * right + sum`, in one operation if `FUSED`.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(left: f32, right: f32, sum: f32) -> f32 {
    // Without the instruction a fused operation would be a slow library call.
    if FUSED {
        left.mul_add(right, sum)
    } else {
        left * right + sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_as_exact_as_the_format() {
        for step in 0..=870_000_u32 {
            let exponent = -f64::from(step) / 10_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "the format in question")]
            let exponent = exponent as f32;
            let exact = f64::from(exponent).exp();
            for computed in [exponential::<true>(exponent), exponential::<false>(exponent)] {
                let error = (f64::from(computed) - exact).abs() / exact;
                assert!(error < 2e-7, "e^{exponent}: {computed}, error {error:e}");
            }
        }
        assert!(exponential::<false>(f32::NAN).is_nan());
        assert!(exponential::<false>(f32::NEG_INFINITY) < 2e-38);
        assert!((exponential::<false>(0.0) - 1.0).abs() < f32::EPSILON);
    }
}
