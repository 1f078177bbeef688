//! Rate limits: their rules, the published tables, and the windows that count.

mod classes;
mod counters;
mod level;
mod memory;
mod metric;
mod rules;

pub use classes::{ClassTables, InvalidClassTables};
pub use counters::{
    LimitCounters, LimitReached, Moment, Need, Scope, Standing, Subject, SubjectKind, Taken, TakenPart,
};
pub use level::{LevelSources, UsageLevel};
pub use memory::MemoryCounters;
pub use metric::{Counted, LimitSet, Metric, Span};
pub use rules::{LimitClass, LimitMetrics, Limits};
