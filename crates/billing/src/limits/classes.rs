//! The tables of limits by class and usage level: data, published and operators' own.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{LimitClass, LimitSet, Limits, Metric, UsageLevel};

const LEVELS: usize = UsageLevel::ALL.len();
const CLASSES: usize = LimitClass::ALL.len();
const PUBLISHED: &str = include_str!("../../data/limit-classes.toml");

/// A table of limits is not usable.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClassTables {
    /// It is no TOML, or names a class or metric that does not exist.
    #[error("the limit classes cannot be read")]
    Syntax(#[from] toml::de::Error),
    /// A list does not have one number for each level.
    #[error("{class}.{metric} has {given} numbers: give one, or one for each of the levels L0 to L5")]
    Levels {
        /// The class.
        class: LimitClass,
        /// The metric.
        metric: Metric,
        /// How many there are.
        given: usize,
    },
    /// A number is below -1.
    #[error("{class}.{metric} is {number}: write -1 for no limit, or zero and more")]
    Number {
        /// The class.
        class: LimitClass,
        /// The metric.
        metric: Metric,
        /// The number.
        number: i64,
    },
}

/// What a class allows: one number for all levels, or one for each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Columns {
    Fixed(i64),
    ByLevel(Vec<i64>),
}

type File = BTreeMap<LimitClass, BTreeMap<Metric, Columns>>;

/// The limits of every class at every level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassTables {
    rows: [[LimitSet; LEVELS]; CLASSES],
}

impl ClassTables {
    /// Returns the tables that ship with Silica (`data/limit-classes.toml`).
    ///
    /// # Errors
    /// Never with the file that ships; a test reads it.
    pub fn published() -> Result<Self, InvalidClassTables> {
        let empty = Self {
            rows: [[LimitSet::NONE; LEVELS]; CLASSES],
        };
        empty.overridden_by(PUBLISHED)
    }

    /// Reads an operator's tables, in the form of `data/limit-classes.toml`. A class that the text
    /// names is replaced as a whole; the others stay as published.
    ///
    /// # Errors
    /// When the text is no such table, or has a class, metric or number that does not exist.
    pub fn parse(text: &str) -> Result<Self, InvalidClassTables> {
        Self::published()?.overridden_by(text)
    }

    /// Returns what limits an account of a level.
    pub fn resolve(&self, limits: &Limits, level: UsageLevel) -> LimitSet {
        match limits {
            Limits::Class { class } => self.rows[*class as usize][level as usize],
            Limits::Metrics(metrics) => LimitSet::from(*metrics),
        }
    }

    fn overridden_by(mut self, text: &str) -> Result<Self, InvalidClassTables> {
        let file: File = toml::from_str(text)?;
        for (class, metrics) in file {
            let row = &mut self.rows[class as usize];
            *row = [LimitSet::NONE; LEVELS];
            for (metric, columns) in metrics {
                let numbers = columns.by_level(class, metric)?;
                for (level, number) in row.iter_mut().zip(numbers) {
                    *level = level.with(metric, limit(number, class, metric)?);
                }
            }
        }
        Ok(self)
    }
}

impl Columns {
    fn by_level(self, class: LimitClass, metric: Metric) -> Result<[i64; LEVELS], InvalidClassTables> {
        match self {
            Self::Fixed(number) => Ok([number; LEVELS]),
            Self::ByLevel(numbers) => {
                let given = numbers.len();
                numbers
                    .try_into()
                    .map_err(|_| InvalidClassTables::Levels { class, metric, given })
            }
        }
    }
}

/// `None` for no limit.
fn limit(number: i64, class: LimitClass, metric: Metric) -> Result<Option<u64>, InvalidClassTables> {
    match u64::try_from(number) {
        Ok(limit) => Ok(Some(limit)),
        Err(_) if number == -1 => Ok(None),
        Err(_) => Err(InvalidClassTables::Number {
            class,
            metric,
            number,
        }),
    }
}
