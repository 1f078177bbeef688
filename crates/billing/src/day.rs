//! Calendar days of bills, day limits and partitions.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A calendar day in the configured zone, as the number `yyyymmdd`; prints as `yyyy-mm-dd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BillingDay(i32);

/// The number or the text is no calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a calendar day: write it as 2025-02-13")]
pub struct InvalidBillingDay;

impl BillingDay {
    /// Returns the day that `at` falls on in `zone`.
    pub fn of(at: Timestamp, zone: &TimeZone) -> Self {
        Self::from_date(zone.to_datetime(at).date())
    }

    /// Wraps a calendar date.
    pub fn from_date(date: Date) -> Self {
        Self(i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day()))
    }

    /// Reads the number `yyyymmdd`.
    ///
    /// # Errors
    /// [`InvalidBillingDay`] when it is no day of the years 0 to 9999.
    pub fn from_number(number: i32) -> Result<Self, InvalidBillingDay> {
        let day = Self(number);
        day.date().map(|_| day).ok_or(InvalidBillingDay)
    }

    /// Returns the number `yyyymmdd`, which sorts like the days.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Returns the month as the number `yyyymm`.
    pub const fn month(self) -> i32 {
        self.0 / 100
    }

    /// Returns how many days later this day is than another; zero when it is not later.
    pub fn days_since(self, earlier: Self) -> u32 {
        let (Some(later), Some(earlier)) = (self.date(), earlier.date()) else {
            return 0;
        };
        u32::try_from(later.duration_since(earlier).as_secs() / 86_400).unwrap_or(0)
    }

    /// Returns a number that grows by one from day to day, over the ends of months too: the days since the
    /// first of January of the year zero.
    pub fn ordinal(self) -> u32 {
        self.days_since(Self(101))
    }

    /// Returns the calendar date; `None` only for a number that never was a day.
    pub fn date(self) -> Option<Date> {
        let year = i16::try_from(self.0 / 10_000).ok()?;
        let month = i8::try_from(self.0 / 100 % 100).ok()?;
        let day = i8::try_from(self.0 % 100).ok()?;
        (self.0 >= 0).then(|| Date::new(year, month, day).ok()).flatten()
    }
}

impl fmt::Display for BillingDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:04}-{:02}-{:02}",
            self.0 / 10_000,
            self.0 / 100 % 100,
            self.0 % 100
        )
    }
}

impl FromStr for BillingDay {
    type Err = InvalidBillingDay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Date>()
            .map(Self::from_date)
            .map_err(|_| InvalidBillingDay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_change_at_the_zones_midnight() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let day = |text: &str| BillingDay::of(text.parse().unwrap(), &zone).to_string();
        assert_eq!(day("2025-02-13T15:59:59.999Z"), "2025-02-13");
        assert_eq!(day("2025-02-13T16:00:00Z"), "2025-02-14");
    }

    #[test]
    fn days_are_counted_over_the_ends_of_months_and_years() {
        let days = |later: i32, earlier: i32| {
            let day = |number| BillingDay::from_number(number).unwrap();
            day(later).days_since(day(earlier))
        };
        assert_eq!(days(20_250_301, 20_250_228), 1);
        assert_eq!(days(20_260_101, 20_251_231), 1);
        assert_eq!(days(20_250_213, 20_240_213), 366);
        assert_eq!(days(20_250_213, 20_250_213), 0);
        assert_eq!(days(20_250_212, 20_250_213), 0);
    }

    #[test]
    fn ordinals_grow_by_one_from_day_to_day() {
        let ordinal = |number| BillingDay::from_number(number).unwrap().ordinal();
        assert_eq!(ordinal(20_250_301) - ordinal(20_250_228), 1);
        assert_eq!(ordinal(20_260_101) - ordinal(20_251_231), 1);
        assert_eq!(ordinal(101), 0);
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for number in [0, -20_250_213, 20_250_230, 20_251_301, i32::MAX] {
            assert!(BillingDay::from_number(number).is_err(), "{number}");
        }
        assert_eq!("2025-02-13".parse::<BillingDay>().unwrap().number(), 20_250_213);
    }
}
