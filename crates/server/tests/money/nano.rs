//! Money of the test's own: exact, and sharing no code with what is tested.

/// Nano-CNY of a decimal text of at most nine digits after the point.
///
/// # Panics
/// When it is no such text.
pub(crate) fn nano(text: &str) -> i64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(
        part.len() <= 9
            && !whole.is_empty()
            && digits.chars().all(|digit| digit == '.' || digit.is_ascii_digit()),
        "no amount: {text}"
    );
    let number: i64 = format!("{whole}{part:0<9}").parse().expect("an amount");
    sign * number
}

/// `numerator / denominator`, rounded to the nearest whole number, ties to the even one.
pub(crate) fn half_even(numerator: i128, denominator: i128) -> i64 {
    let (quotient, rest) = (numerator / denominator, numerator % denominator);
    let up = match (2 * rest).cmp(&denominator) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => quotient % 2,
        std::cmp::Ordering::Greater => 1,
    };
    i64::try_from(quotient + up).expect("an amount that fits")
}

#[test]
fn amounts_are_read_and_rounded() {
    assert_eq!(nano("12"), 12_000_000_000);
    assert_eq!(nano("-0.000000001"), -1);
    assert_eq!(nano("2.5125"), 2_512_500_000);
    assert_eq!(
        [5, 15, 25, 26, 24].map(|number| half_even(number, 10)),
        [0, 2, 2, 3, 2]
    );
}
