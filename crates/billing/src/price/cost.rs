//! What units cost: exact arithmetic with one rounding at the end.

use rust_decimal::Decimal;
use silica_types::Money;

use super::wide::Wide;
use super::{Price, PriceAmount};
use crate::Units;

/// The least common multiple of the divisors below: a million (tokens, bytes), 1024 x 1024
/// (pixels of a megapixel), a thousand (milliseconds of a second) and one.
const COMMON: u128 = 16_384_000_000;
/// Parts of [`COMMON`] that one token or byte is, where the price is for a million.
const OF_MILLION: u128 = COMMON / 1_000_000;
/// One pixel and step, where the price is for 1024 x 1024 pixels.
const OF_MEGAPIXEL: u128 = COMMON / (1024 * 1024);
/// One millisecond, where the price is for a second.
const OF_SECOND: u128 = COMMON / 1_000;
/// Digits of a nano-CNY.
const NANO_DIGITS: u32 = 9;

/// The units cost more than [`Money`] can hold (about nine billion CNY).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the units cost more than an amount of money can hold")]
pub struct CostOverflow;

/// What the units of one kind cost by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceLine {
    /// The price's name, such as `input`.
    pub unit: &'static str,
    /// How many units.
    pub count: u64,
    /// The price of `per` units.
    pub price: PriceAmount,
    /// How many units the price is for.
    pub per: u64,
    /// What they cost, rounded to the nano-CNY.
    pub amount: Money,
}

/// A count of units with its price, and the parts of [`COMMON`] that one unit is.
#[derive(Debug, Clone, Copy)]
struct Term {
    unit: &'static str,
    price: Decimal,
    count: u64,
    parts: u128,
}

impl Price {
    /// Returns what the units cost.
    ///
    /// All units are added exactly; then the sum is rounded once, half to even, to the nano-CNY.
    /// This is the one rounding of a settlement. Cached tokens cost `cached_input`, or what other
    /// input tokens cost; those of a batch cost the batch price where there is one. Prices for a
    /// million mean 1,000,000 tokens or bytes; a megapixel is 1024 x 1024 pixels.
    ///
    /// # Errors
    /// [`CostOverflow`] beyond the range of [`Money`].
    pub fn cost(&self, units: &Units) -> Result<Money, CostOverflow> {
        sum(&self.terms(units))
    }

    /// Returns what the units of each kind cost by themselves; kinds that have no price, or of which there
    /// are none, are left out. As each is rounded, their sum may be some nano-CNY off [`Price::cost`].
    ///
    /// # Errors
    /// [`CostOverflow`] beyond the range of [`Money`].
    pub fn lines(&self, units: &Units) -> Result<Vec<PriceLine>, CostOverflow> {
        let terms = self.terms(units);
        let priced = terms.iter().filter(|term| !term.price.is_zero());
        priced
            .map(|term| {
                Ok(PriceLine {
                    unit: term.unit,
                    count: term.count,
                    price: PriceAmount(term.price),
                    per: u64::try_from(COMMON / term.parts).map_err(|_| CostOverflow)?,
                    amount: sum(std::slice::from_ref(term))?,
                })
            })
            .collect()
    }

    /// Whether nothing has a price above zero.
    pub fn is_free(&self) -> bool {
        self.amounts()
            .iter()
            .flatten()
            .all(|amount| amount.get().is_zero())
    }

    pub const fn amounts(&self) -> [Option<PriceAmount>; 11] {
        [
            self.input,
            self.output,
            self.cached_input,
            self.per_mpx_step,
            self.per_image,
            self.per_video,
            self.per_m_bytes,
            self.batch_input,
            self.batch_output,
            self.training,
            self.per_second,
        ]
    }

    fn terms(&self, units: &Units) -> [Term; 9] {
        let (input, output) = if units.batch {
            (self.batch_input.or(self.input), self.batch_output.or(self.output))
        } else {
            (self.input, self.output)
        };
        let cached = units.cached_tokens.min(units.prompt_tokens);
        [
            term("input", input, units.prompt_tokens - cached, OF_MILLION),
            term("cached_input", self.cached_input.or(input), cached, OF_MILLION),
            term("output", output, units.completion_tokens, OF_MILLION),
            term("per_mpx_step", self.per_mpx_step, units.pixel_steps, OF_MEGAPIXEL),
            term("per_image", self.per_image, units.images, COMMON),
            term("per_video", self.per_video, units.videos, COMMON),
            term("per_m_bytes", self.per_m_bytes, units.text_bytes, OF_MILLION),
            term("per_second", self.per_second, units.milliseconds, OF_SECOND),
            term("training", self.training, units.training_tokens, OF_MILLION),
        ]
    }
}

/// What is not there or has no price becomes the empty term, whose digits do not count either.
fn term(unit: &'static str, price: Option<PriceAmount>, count: u64, parts: u128) -> Term {
    let price = price
        .filter(|_| count > 0)
        .map_or(Decimal::ZERO, PriceAmount::get);
    Term {
        unit,
        price,
        count,
        parts,
    }
}

/// All terms, added exactly and rounded once.
fn sum(terms: &[Term]) -> Result<Money, CostOverflow> {
    let digits = terms.iter().map(|term| term.price.scale()).max().unwrap_or(0);
    let nano = match narrow(terms, digits) {
        Some(nano) => nano,
        // Prices with very many digits, or counts beyond any real call.
        None => wide(terms, digits).ok_or(CostOverflow)?,
    };
    Ok(Money::from_nano(nano))
}

/// The sum in nano-CNY with 128 bits; `None` when they do not suffice.
fn narrow(terms: &[Term], digits: u32) -> Option<i64> {
    let mut sum: u128 = 0;
    for term in terms {
        let mantissa = term.price.mantissa().unsigned_abs();
        if mantissa == 0 {
            continue;
        }
        let scaled = mantissa.checked_mul(power_of_ten(digits - term.price.scale())?)?;
        let weight = u128::from(term.count).checked_mul(term.parts)?;
        sum = sum.checked_add(scaled.checked_mul(weight)?)?;
    }
    let numerator = sum.checked_mul(power_of_ten(NANO_DIGITS.saturating_sub(digits))?)?;
    let denominator = COMMON.checked_mul(power_of_ten(digits.saturating_sub(NANO_DIGITS))?)?;
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    // The denominator is even, so its half is exact.
    let is_up = match remainder.cmp(&(denominator / 2)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    i64::try_from(quotient + u128::from(is_up)).ok()
}

/// The same with 384 bits, which suffice for every price and every count; `None` when the amount
/// is beyond the range of money.
fn wide(terms: &[Term], digits: u32) -> Option<i64> {
    let mut sum = Wide::ZERO;
    for term in terms {
        let scaled = Wide::from(term.price.mantissa().unsigned_abs())
            .times_power_of_ten(digits - term.price.scale())?
            .times(term.count)?
            .times(u64::try_from(term.parts).ok()?)?;
        sum = sum.plus(scaled)?;
    }
    let numerator = sum.times_power_of_ten(NANO_DIGITS.saturating_sub(digits))?;
    let denominator = Wide::from(COMMON).times_power_of_ten(digits.saturating_sub(NANO_DIGITS))?;
    numerator.divided_half_even(denominator)
}

fn power_of_ten(exponent: u32) -> Option<u128> {
    10_u128.checked_pow(exponent)
}
