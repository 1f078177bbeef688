//! Usage levels: from what an account spends in a calendar month to its column of the limit tables.

use silica_types::{Money, code_enum};

use crate::Monthly;

code_enum! {
    /// The usage level that picks an account's rate limits; the lowest where nothing was earned.
    #[derive(Default)]
    UsageLevel, "usage level", {
        /// Below CNY 50 in the month.
        #[default]
        L0 = "L0",
        /// From CNY 50.
        L1 = "L1",
        /// From CNY 200.
        L2 = "L2",
        /// From CNY 2,000.
        L3 = "L3",
        /// From CNY 5,000.
        L4 = "L4",
        /// From CNY 10,000.
        L5 = "L5",
    }
}

/// Nano-CNY of one CNY.
const YUAN: i64 = 1_000_000_000;

impl UsageLevel {
    /// The consumption of one calendar month from which the level is earned, and the price of its
    /// package (contract platform.md 1.3 and 1.6).
    pub const fn threshold(self) -> Money {
        let yuan = match self {
            Self::L0 => 0,
            Self::L1 => 50,
            Self::L2 => 200,
            Self::L3 => 2_000,
            Self::L4 => 5_000,
            Self::L5 => 10_000,
        };
        Money::from_nano(yuan * YUAN)
    }

    /// The level that a month's consumption earns.
    pub fn earned_by(spent: Money) -> Self {
        let reached = Self::ALL.iter().rev().find(|level| level.threshold() <= spent);
        reached.copied().unwrap_or(Self::L0)
    }
}

/// All that an account's level comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelSources {
    /// The operator's level, which goes before everything else.
    pub set: Option<UsageLevel>,
    /// What the account's calls have taken from its buckets.
    pub spent: Monthly<Money>,
    /// The highest level that it bought as a package.
    pub bought: Monthly<UsageLevel>,
}

impl LevelSources {
    /// The level in force in a month (`yyyymm`): the operator's, else the higher one of what the
    /// account spent and what it bought, in that month or the one before. So a level holds from the
    /// moment that earned it to the end of the next calendar month, and nothing has to run on the
    /// first of a month but this.
    pub fn level(&self, month: i32) -> UsageLevel {
        let by_use = UsageLevel::earned_by(self.spent.best(month)).max(self.bought.best(month));
        self.set.unwrap_or(by_use)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn yuan(amount: i64) -> Money {
        Money::from_yuan(amount).unwrap()
    }

    fn month() -> impl Strategy<Value = i32> {
        (2024_i32..2027, 1_i32..=12).prop_map(|(year, month)| year * 100 + month)
    }

    fn next(month: i32) -> i32 {
        Monthly::<Money>::month_after(month)
    }

    /// Months of spending in the order of the calendar, some of them left out.
    fn months() -> impl Strategy<Value = Vec<(i32, i64)>> {
        proptest::collection::vec((0_usize..3, 0_i64..12_000), 1..12).prop_map(|steps| {
            let mut month = 202_410;
            let mut spent = Vec::new();
            for (skipped, amount) in steps {
                for _ in 0..skipped {
                    month = next(month);
                }
                spent.push((month, amount));
            }
            spent
        })
    }

    #[test]
    fn levels_begin_at_the_published_amounts() {
        for (amount, level) in [
            ("0", "L0"),
            ("49.999999999", "L0"),
            ("50", "L1"),
            ("199.999999999", "L1"),
            ("200", "L2"),
            ("1999.999999999", "L2"),
            ("2000", "L3"),
            ("4999.999999999", "L3"),
            ("5000", "L4"),
            ("9999.999999999", "L4"),
            ("10000", "L5"),
            ("999999999", "L5"),
        ] {
            let spent = amount.parse().unwrap();
            assert_eq!(UsageLevel::earned_by(spent).as_str(), level, "{amount}");
        }
    }

    #[test]
    fn a_level_holds_to_the_end_of_the_next_month() {
        let mut sources = LevelSources::default();
        *sources.spent.of(202_511).unwrap() = yuan(2_000);
        let levels = [202_511, 202_512, 202_601].map(|month| sources.level(month).as_str());
        assert_eq!(levels, ["L3", "L3", "L0"]);
        *sources.spent.of(202_512).unwrap() = yuan(60);
        let levels = [202_512, 202_601, 202_602].map(|month| sources.level(month).as_str());
        assert_eq!(levels, ["L3", "L1", "L0"]);
    }

    #[test]
    fn the_operators_level_goes_before_a_higher_one_that_was_earned() {
        let mut sources = LevelSources {
            set: Some(UsageLevel::L1),
            ..LevelSources::default()
        };
        *sources.spent.of(202_511).unwrap() = yuan(10_000);
        assert_eq!(sources.level(202_511), UsageLevel::L1);
        sources.set = None;
        assert_eq!(sources.level(202_511), UsageLevel::L5);
    }

    #[test]
    fn a_lower_package_of_the_next_month_lasts_longer_than_the_higher_one() {
        let mut sources = LevelSources::default();
        *sources.bought.of(202_511).unwrap() = UsageLevel::L5;
        *sources.bought.of(202_512).unwrap() = UsageLevel::L2;
        let levels = [202_511, 202_512, 202_601, 202_602].map(|month| sources.level(month).as_str());
        assert_eq!(levels, ["L5", "L5", "L2", "L0"]);
    }

    proptest! {
        #[test]
        fn more_spending_is_never_a_lower_level(less in 0_i64..i64::MAX, more in 0_i64..i64::MAX) {
            let (less, more) = (less.min(more), less.max(more));
            prop_assert!(UsageLevel::earned_by(Money::from_nano(less)) <= UsageLevel::earned_by(Money::from_nano(more)));
        }

        #[test]
        fn the_level_is_that_of_the_better_of_two_months(spent in months()) {
            let mut sources = LevelSources::default();
            for (month, amount) in &spent {
                let sum = sources.spent.of(*month).unwrap();
                *sum = sum.saturating_add(yuan(*amount));
            }
            let (last, _) = *spent.last().unwrap();
            let sum = |month: i32| spent.iter().filter(|(of, _)| *of == month).map(|(_, amount)| *amount).sum::<i64>();
            let before = Monthly::<Money>::month_before(last);
            let mut month = last;
            for expected in [sum(last).max(sum(before)), sum(last), 0, 0] {
                prop_assert_eq!(sources.level(month), UsageLevel::earned_by(yuan(expected)));
                month = next(month);
            }
        }

        #[test]
        fn buying_a_level_gives_it_for_this_month_and_the_next(at in month(), place in 1_usize..6, spent in 0_i64..12_000) {
            let level = UsageLevel::ALL[place];
            let mut sources = LevelSources::default();
            *sources.spent.of(at).unwrap() = yuan(spent);
            let earned = UsageLevel::earned_by(yuan(spent));
            let bought = sources.bought.of(at).unwrap();
            *bought = level.max(*bought);
            let last = next(at);
            prop_assert_eq!(sources.level(at), level.max(earned));
            prop_assert_eq!(sources.level(last), level.max(earned));
            prop_assert_eq!(sources.level(next(last)), UsageLevel::L0);
        }
    }
}
