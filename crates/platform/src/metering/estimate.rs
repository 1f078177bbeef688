//! What a call would cost, by the rules by which it is reserved.

use jiff::Timestamp;
use silica_billing::{Price, PriceLine, PriceVersion, Units};
use silica_types::Money;

use super::Entry;
use crate::CatalogueModel;

/// What a call would be reserved by, if it came now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The entry of the price book that is in force; `None` when the call is free.
    pub price: Option<PriceVersion>,
    /// What it will likely use, of which the limits on tokens are taken; the same as `most` where the
    /// engine counts exactly.
    pub likely: Priced,
    /// The most that it can use, of which the wallet is taken.
    pub most: Priced,
}

/// Units and what they cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// What is used.
    pub units: Units,
    /// What each kind of them costs; empty when the call is free, or costs more than anybody has.
    pub lines: Vec<PriceLine>,
    /// All of them together, rounded once.
    pub total: Money,
}

/// The price of a model for calls of a mode that come now.
pub(super) fn price_now(
    model: &CatalogueModel,
    now: Timestamp,
    mode: Option<&str>,
) -> Option<(PriceVersion, Price)> {
    let entry = model.price_at(now, mode)?;
    Some((entry.version, entry.in_force().clone()))
}

/// What is taken from the wallet for these units.
pub(super) fn amount(price: Option<&Price>, units: &Units) -> Money {
    price
        .map_or(Ok(Money::ZERO), |price| price.cost(units))
        // What cannot be written as an amount is more than anybody has.
        .unwrap_or(Money::from_nano(i64::MAX))
}

impl Entry {
    /// What the call would be reserved by. Takes nothing.
    pub fn estimate(&self, likely: Units, most: Units, mode: Option<&str>) -> Estimate {
        let price = price_now(&self.model, self.meter.0.clock.now(), mode);
        let (version, price) = price.unzip();
        let priced = |units: Units| Priced {
            lines: price
                .as_ref()
                .map(|price| price.lines(&units).unwrap_or_default())
                .unwrap_or_default(),
            total: amount(price.as_ref(), &units),
            units,
        };
        Estimate {
            price: version,
            likely: priced(likely),
            most: priced(most),
        }
    }
}
