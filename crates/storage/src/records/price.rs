//! Entries of the price book.

use jiff::Timestamp;
use silica_billing::Price;
use silica_types::ModelName;

/// One entry. Entries are never changed: a later one with the same mode takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRecord {
    /// The model that it prices.
    pub model: ModelName,
    /// The mode of a call that it prices; `None` for every mode without an entry of its own.
    pub mode: Option<String>,
    /// The list price.
    pub list: Price,
    /// The price that is charged instead; `None` charges the list price.
    pub promotional: Option<Price>,
    /// A label for people, such as `50% OFF`.
    pub badge: Option<String>,
    /// From when on it is in force, whole microseconds.
    pub effective_from: Timestamp,
    /// The first moment at which it is no longer in force, whole microseconds; `None` means never.
    pub effective_until: Option<Timestamp>,
    /// When it was made, whole microseconds.
    pub created_at: Timestamp,
}
