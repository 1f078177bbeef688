//! JSON shapes that several endpoints share. Every request shape refuses fields it does not know.

mod limits;
mod optional;
mod price;

pub(crate) use limits::LimitsBody;
pub(crate) use optional::given;
pub(crate) use price::PriceBody;
