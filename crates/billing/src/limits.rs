//! Rate limits: their rules, the published tables, and the windows that count.

mod level;
mod rules;

pub use level::UsageLevel;
pub use rules::{LimitClass, LimitMetrics, Limits};
