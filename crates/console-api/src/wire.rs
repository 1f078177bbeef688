//! JSON shapes that several endpoints share. Every request shape refuses fields it does not know.

mod key_limits;
mod limits;
mod money;
mod optional;
mod price;

pub(crate) use key_limits::KeyLimitsBody;
pub(crate) use limits::LimitsBody;
pub(crate) use money::MoneyBody;
pub(crate) use optional::given;
pub(crate) use price::PriceBody;
