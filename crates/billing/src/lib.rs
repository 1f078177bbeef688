//! Prices, wallets and rate limits: the arithmetic of money and usage.
//!
//! Pure state and rules: no I/O, no clock of its own, no database. Money is [`silica_types::Money`]
//! (whole nano-CNY), prices are exact decimals, and the one rounding of a settlement stands in
//! [`Price::cost`].

mod bucket;
mod day;
mod event;
mod key_limits;
mod limits;
mod price;
mod units;

pub use bucket::{Bucket, BucketKind};
pub use day::{BillingDay, InvalidBillingDay};
pub use event::{BucketPart, CallStatus, PriceVersion, UsageEvent};
pub use key_limits::KeyLimits;
pub use limits::{LimitClass, LimitMetrics, Limits, UsageLevel};
pub use price::{InvalidPriceAmount, Price, PriceAmount};
pub use units::Units;
