//! Amounts as text.

use proptest::prelude::*;

use super::super::*;

#[test]
fn digits_are_kept_as_given() {
    for text in ["0", "0.70", "1.260", "21.420000000000000000000001"] {
        assert_eq!(text.parse::<PriceAmount>().unwrap().to_string(), text);
    }
}

#[test]
fn signs_exponents_and_lost_digits_are_refused() {
    for text in [
        "",
        "-1",
        "+1",
        "1e3",
        ".5",
        "5.",
        "1.2.3",
        "1_000",
        " 1",
        "0.00000000000000000000000000001",
    ] {
        assert!(text.parse::<PriceAmount>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused_and_what_parses_prints_back(text in "[0-9.eE+_ -]{0,32}") {
        if let Ok(amount) = text.parse::<PriceAmount>() {
            prop_assert_eq!(amount.to_string().parse::<PriceAmount>().unwrap(), amount);
        }
    }
}
