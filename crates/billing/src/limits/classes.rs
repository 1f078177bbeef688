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

#[cfg(test)]
mod tests {
    use super::super::LimitMetrics;
    use super::*;

    fn by_level(tables: &ClassTables, class: LimitClass, metric: Metric) -> [Option<u64>; LEVELS] {
        let limit = |level: &UsageLevel| tables.resolve(&Limits::Class { class }, *level).get(metric);
        std::array::from_fn(|index| limit(&UsageLevel::ALL[index]))
    }

    /// Every class, level and metric of contract platform.md 1.4, typed again from there.
    #[test]
    fn the_published_tables_are_those_of_the_contract() {
        const K: u64 = 1_000;
        const M: u64 = 1_000_000;
        let paid = [K, 1_200, 2 * K, 4 * K, 8 * K, 10 * K];
        let expected = [
            (LimitClass::S, Metric::Rpm, paid),
            (
                LimitClass::S,
                Metric::Tpm,
                [80 * K, 120 * K, 160 * K, 320 * K, M, 5 * M],
            ),
            (LimitClass::M, Metric::Rpm, paid),
            (
                LimitClass::M,
                Metric::Tpm,
                [40 * K, 60 * K, 80 * K, 160 * K, 500 * K, 2 * M],
            ),
            (LimitClass::L, Metric::Rpm, paid),
            (
                LimitClass::L,
                Metric::Tpm,
                [20 * K, 30 * K, 40 * K, 80 * K, 250 * K, M],
            ),
            (LimitClass::Xl, Metric::Rpm, paid),
            (
                LimitClass::Xl,
                Metric::Tpm,
                [10 * K, 15 * K, 20 * K, 40 * K, 125 * K, 500 * K],
            ),
            (
                LimitClass::E,
                Metric::Rpm,
                [2 * K, 3 * K, 5 * K, 5 * K, 10 * K, 10 * K],
            ),
            (LimitClass::E, Metric::Tpm, [M, M, M, 5 * M, 5 * M, 10 * M]),
            (LimitClass::Video, Metric::Ipm, [5; 6]),
            (LimitClass::Video, Metric::Ipd, [200, 300, 400, 500, 600, 3 * K]),
            (LimitClass::FreeChat, Metric::Rpm, [K; 6]),
            (LimitClass::FreeChat, Metric::Tpm, [50 * K; 6]),
            (LimitClass::DeepSeek, Metric::Rpm, [K; 6]),
            (LimitClass::DeepSeek, Metric::Tpm, [10 * K; 6]),
            (LimitClass::FreeEmbedding, Metric::Rpm, [2 * K; 6]),
            (LimitClass::FreeEmbedding, Metric::Tpm, [500 * K; 6]),
            (LimitClass::FreeImage, Metric::Ipm, [2; 6]),
            (LimitClass::FreeImage, Metric::Ipd, [400; 6]),
        ];
        let tables = ClassTables::published().unwrap();
        for class in LimitClass::ALL {
            for metric in Metric::ALL {
                let row = expected.iter().find(|row| (row.0, row.1) == (*class, *metric));
                let limits = row.map_or([None; LEVELS], |row| row.2.map(Some));
                assert_eq!(by_level(&tables, *class, *metric), limits, "{class} {metric}");
            }
        }
    }

    #[test]
    fn an_operators_class_replaces_the_published_one_as_a_whole() {
        let tables = ClassTables::parse("[S]\nTPM = [1, 2, 3, 4, 5, -1]\nRPH = 30\n").unwrap();
        let expected = [Some(1), Some(2), Some(3), Some(4), Some(5), None];
        assert_eq!(by_level(&tables, LimitClass::S, Metric::Tpm), expected);
        assert_eq!(by_level(&tables, LimitClass::S, Metric::Rph), [Some(30); LEVELS]);
        assert_eq!(by_level(&tables, LimitClass::S, Metric::Rpm), [None; LEVELS]);
        assert_eq!(
            by_level(&tables, LimitClass::DeepSeek, Metric::Rpm),
            [Some(1_000); LEVELS]
        );
    }

    #[test]
    fn tables_with_mistakes_are_refused_and_say_where() {
        let refused = |text: &str| {
            let error = ClassTables::parse(text).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            source.unwrap_or_else(|| error.to_string())
        };
        assert!(refused("[XS]\nRPM = 1").contains("XS"));
        assert!(refused("[S]\nRPS = 1").contains("RPS"));
        assert!(refused("[S]\nRPM = \"many\"").contains("RPM"));
        assert!(refused("[S]\nRPM = 1.5").contains("RPM"));
        assert!(refused("[S]\nRPM = [1, 2, 3]").contains("S.RPM has 3 numbers"));
        assert!(refused("[S]\nRPM = -2").contains("S.RPM is -2"));
        assert!(refused("RPM = 1").contains("RPM"));
    }

    #[test]
    fn explicit_numbers_hold_at_every_level() {
        let metrics = LimitMetrics {
            requests_per_minute: Some(5),
            tokens_per_day: Some(-1),
            images_per_day: Some(0),
            ..LimitMetrics::default()
        };
        let tables = ClassTables::published().unwrap();
        for level in UsageLevel::ALL {
            let limits = tables.resolve(&Limits::Metrics(metrics), *level);
            let expected = LimitSet::NONE
                .with(Metric::Rpm, Some(5))
                .with(Metric::Ipd, Some(0));
            assert_eq!(limits, expected);
        }
    }
}
