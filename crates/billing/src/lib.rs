//! Prices, wallets, rate limits and the tokens of images: the arithmetic of money and usage.
//!
//! Pure state and rules: no I/O, no clock of its own, no database. Money is [`silica_types::Money`]
//! (whole nano-CNY), prices are exact decimals, and the one rounding of a settlement stands in
//! [`Price::cost`].

mod bucket;
mod day;
mod event;
mod key_limits;
mod limits;
mod monthly;
mod once;
mod price;
mod shards;
mod spend;
mod sync;
mod units;
mod vision;
mod wallet;

pub use bucket::{Bucket, BucketKind};
pub use day::{BillingDay, InvalidBillingDay};
pub use event::{BucketPart, CallStatus, PriceVersion, UsageEvent};
pub use key_limits::KeyLimits;
pub use limits::{
    ClassTables, Counted, InvalidClassTables, LevelSources, LimitClass, LimitCounters, LimitMetrics,
    LimitReached, LimitSet, Limits, MemoryCounters, Metric, Moment, Need, Scope, Span, Standing, Subject,
    SubjectKind, Taken, TakenPart, UsageLevel,
};
pub use monthly::Monthly;
pub use price::{CostOverflow, InvalidPriceAmount, Price, PriceAmount, PriceEntry, PriceLine, PriceSchedule};
pub use spend::{CapReached, SpendCaps, SpendHold};
pub use units::Units;
pub use vision::{ImageSize, InvalidImageSize, UnreadableImage, VisionImage, VisionRule, VisionTokens};
pub use wallet::{Balances, Hold, Insufficient, Outstanding, Payer, Settlement, Wallets};
