//! What units cost.

use num_bigint::BigUint;
use proptest::prelude::*;
use silica_types::Money;

use super::super::*;
use super::price;
use crate::Units;

fn cost(json: &str, units: Units) -> String {
    price(json).cost(&units).unwrap().to_string()
}

fn tokens(prompt_tokens: u64, completion_tokens: u64) -> Units {
    Units {
        prompt_tokens,
        completion_tokens,
        ..Units::default()
    }
}

#[test]
fn half_a_megapixel_in_four_steps_costs_what_the_contract_says() {
    let units = Units {
        images: 1,
        pixel_steps: 1024 * 512 * 4,
        ..Units::default()
    };
    assert_eq!(cost(r#"{"per_mpx_step":"0.0032"}"#, units), "0.0064");
}

#[test]
fn every_unit_has_its_divisor() {
    assert_eq!(
        cost(r#"{"input":"1","output":"2"}"#, tokens(1_000_000, 500_000)),
        "2.00"
    );
    let units = |change: fn(&mut Units)| {
        let mut units = Units::default();
        change(&mut units);
        units
    };
    let images = units(|units| units.images = 3);
    assert_eq!(cost(r#"{"per_image":"0.37"}"#, images), "1.11");
    let videos = units(|units| units.videos = 2);
    assert_eq!(cost(r#"{"per_video":"0.14"}"#, videos), "0.28");
    let bytes = units(|units| units.text_bytes = 1_000);
    assert_eq!(cost(r#"{"per_m_bytes":"50"}"#, bytes), "0.05");
    let seconds = units(|units| units.milliseconds = 1_500);
    assert_eq!(cost(r#"{"per_second":"0.01"}"#, seconds), "0.015");
    let training = units(|units| units.training_tokens = 2_000_000);
    assert_eq!(cost(r#"{"training":"3.50"}"#, training), "7.00");
}

#[test]
fn cached_tokens_cost_their_own_price_or_that_of_input() {
    let units = Units {
        cached_tokens: 400_000,
        ..tokens(1_000_000, 0)
    };
    assert_eq!(cost(r#"{"input":"4","cached_input":"1"}"#, units), "2.80");
    assert_eq!(cost(r#"{"input":"4"}"#, units), "4.00");
    // An engine that reports more cached tokens than tokens does not make the call dearer.
    let absurd = Units {
        cached_tokens: 9_000_000,
        ..tokens(1_000_000, 0)
    };
    assert_eq!(cost(r#"{"input":"4","cached_input":"1"}"#, absurd), "1.00");
}

#[test]
fn batches_cost_their_own_price_or_the_online_one() {
    let units = Units {
        batch: true,
        ..tokens(1_000_000, 1_000_000)
    };
    let json = r#"{"input":"4","output":"16","batch_input":"2","batch_output":"8"}"#;
    assert_eq!(cost(json, units), "10.00");
    assert_eq!(cost(json, tokens(1_000_000, 1_000_000)), "20.00");
    assert_eq!(
        cost(r#"{"input":"4","output":"16","batch_input":"2"}"#, units),
        "18.00"
    );
}

#[test]
fn what_has_no_price_is_free() {
    assert_eq!(cost("{}", tokens(5, 5)), "0.00");
    assert!(price("{}").is_free());
    assert!(price(r#"{"input":"0","output":"0.00"}"#).is_free());
    assert!(!price(r#"{"input":"0","per_video":"0.14"}"#).is_free());
}

#[test]
fn the_sum_is_rounded_once_and_half_to_even() {
    // Half a nano-CNY a token: a price of 0.0005 for a million.
    for (tokens_used, nano) in [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4), (9, 4)] {
        let cost = price(r#"{"input":"0.0005"}"#)
            .cost(&tokens(tokens_used, 0))
            .unwrap();
        assert_eq!(cost.nano(), nano, "{tokens_used} tokens");
    }
    // Two halves from different units make a whole; rounded apart they would vanish.
    let both = price(r#"{"input":"0.0005","output":"0.0005"}"#);
    assert_eq!(both.cost(&tokens(1, 1)).unwrap().nano(), 1);
    // A hair above the half rounds up, however many digits it takes to see it.
    let hair = price(r#"{"input":"0.0005000000000000000000000001"}"#);
    assert_eq!(hair.cost(&tokens(1, 0)).unwrap().nano(), 1);
}

#[test]
fn what_no_amount_can_hold_is_an_error() {
    let price = price(r#"{"input":"9223372036.854775807"}"#);
    assert_eq!(
        price.cost(&tokens(1_000_000, 0)).unwrap(),
        Money::from_nano(i64::MAX)
    );
    assert_eq!(price.cost(&tokens(1_000_001, 0)), Err(CostOverflow));
    assert_eq!(price.cost(&tokens(u64::MAX, 0)), Err(CostOverflow));
}

/// The same sum with fractions of unbounded whole numbers: an independent way to the amount.
fn by_fractions(price: &Price, units: &Units) -> Option<i64> {
    let big = |number: u128| BigUint::from(number);
    let cached = units.cached_tokens.min(units.prompt_tokens);
    let (input, output) = if units.batch {
        (
            price.batch_input.or(price.input),
            price.batch_output.or(price.output),
        )
    } else {
        (price.input, price.output)
    };
    let (mut numerator, mut denominator) = (big(0), big(1));
    for (amount, count, divisor) in [
        (input, units.prompt_tokens - cached, 1_000_000_u128),
        (price.cached_input.or(input), cached, 1_000_000),
        (output, units.completion_tokens, 1_000_000),
        (price.per_mpx_step, units.pixel_steps, 1024 * 1024),
        (price.per_image, units.images, 1),
        (price.per_video, units.videos, 1),
        (price.per_m_bytes, units.text_bytes, 1_000_000),
        (price.per_second, units.milliseconds, 1_000),
        (price.training, units.training_tokens, 1_000_000),
    ] {
        let Some(amount) = amount else { continue };
        let decimal = amount.get();
        let part = big(decimal.mantissa().unsigned_abs()) * big(u128::from(count)) * big(1_000_000_000);
        let under = big(10).pow(decimal.scale()) * big(divisor);
        numerator = numerator * &under + part * &denominator;
        denominator *= under;
    }
    let (quotient, rest) = (&numerator / &denominator, &numerator % &denominator);
    let is_odd = &quotient % big(2) == big(1);
    let twice = rest * big(2);
    let is_up = twice > denominator || (twice == denominator && is_odd);
    (quotient + big(u128::from(is_up))).try_into().ok()
}

/// Prices as operators write them, and ones with every digit that there is.
fn any_amount() -> impl Strategy<Value = Option<PriceAmount>> {
    let text = prop_oneof![
        4 => "[0-9]{1,3}(\\.[0-9]{1,4})?",
        2 => "0\\.000[0-9]{1,9}",
        1 => "[0-9]{1,8}\\.[0-9]{1,20}",
        1 => "[0-9]\\.[0-9]{27}",
    ];
    // A digit too many for the type is no price; take none then.
    prop::option::of(text).prop_map(|text| text.and_then(|text| text.parse().ok()))
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..200_000_u64, 2 => 0..20_000_000_000_u64, 1 => any::<u64>()]
}

prop_compose! {
    fn any_price()(amounts in prop::array::uniform11(any_amount())) -> Price {
        let [input, output, cached_input, per_mpx_step, per_image, per_video, per_m_bytes,
            batch_input, batch_output, training, per_second] = amounts;
        Price {
            input, output, cached_input, per_mpx_step, per_image, per_video, per_m_bytes,
            batch_input, batch_output, training, per_second,
        }
    }
}

prop_compose! {
    fn any_units()(counts in prop::array::uniform9(any_count()), batch in any::<bool>()) -> Units {
        let [prompt_tokens, cached_tokens, completion_tokens, images, pixel_steps, videos,
            text_bytes, milliseconds, training_tokens] = counts;
        Units {
            prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens: 0, images, pixel_steps,
            videos, text_bytes, milliseconds, training_tokens, batch,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn costs_agree_with_exact_fractions(price in any_price(), units in any_units()) {
        let exact = by_fractions(&price, &units);
        let cost = price.cost(&units).map(Money::nano);
        prop_assert_eq!(cost.ok(), exact);
    }

    #[test]
    fn token_costs_agree_with_exact_fractions(
        input in any_amount(),
        output in any_amount(),
        prompt_tokens in any_count(),
        completion_tokens in any_count(),
    ) {
        let price = Price { input, output, ..Price::default() };
        let units = tokens(prompt_tokens, completion_tokens);
        let cost = price.cost(&units).map(Money::nano);
        prop_assert_eq!(cost.ok(), by_fractions(&price, &units));
    }

    #[test]
    fn more_units_never_cost_less(price in any_price(), units in any_units(), more in 0..1_000_000_u64) {
        let longer = Units { completion_tokens: units.completion_tokens.saturating_add(more), ..units };
        if let (Ok(less), Ok(more)) = (price.cost(&units), price.cost(&longer)) {
            prop_assert!(less <= more);
        }
    }
}
