//! Where the wall clock stands in the operator's calendar.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use silica_billing::{BillingDay, Moment};

/// Turns times into days of one zone. Keeps the current day, since looking into the zone's rules
/// for every call would cost more than the limits themselves.
pub(super) struct Calendar {
    zone: TimeZone,
    today: ArcSwapOption<Span>,
}

/// One day: from its first moment to the next day's.
#[derive(Debug, Clone, Copy)]
struct Span {
    day: BillingDay,
    begins: Timestamp,
    ends: Timestamp,
}

impl Calendar {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            today: ArcSwapOption::empty(),
        }
    }

    /// The day that `now` falls on.
    pub(super) fn day(&self, now: Timestamp) -> BillingDay {
        self.span(now).day
    }

    /// What the counters need to know of a time.
    pub(super) fn moment(&self, now: Timestamp, monotonic: Duration) -> Moment {
        let span = self.span(now);
        let until_midnight = Duration::try_from(span.ends.duration_since(now)).unwrap_or_default();
        Moment {
            monotonic,
            day: span.day,
            until_midnight,
        }
    }

    fn span(&self, now: Timestamp) -> Span {
        if let Some(span) = self.today.load().as_deref()
            && (span.begins..span.ends).contains(&now)
        {
            return *span;
        }
        let span = self.look_up(now);
        self.today.store(Some(Arc::new(span)));
        span
    }

    fn look_up(&self, now: Timestamp) -> Span {
        let date = self.zone.to_datetime(now).date();
        let start_of = |date: jiff::civil::Date| {
            // A midnight that a clock change skips begins with the first moment after it.
            self.zone.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(now)
        };
        Span {
            day: BillingDay::from_date(date),
            begins: start_of(date),
            ends: date.tomorrow().map_or(now, start_of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_follows_the_clock_in_both_directions() {
        let calendar = Calendar::new(TimeZone::get("Asia/Shanghai").unwrap());
        let at = |text: &str| {
            let moment = calendar.moment(text.parse().unwrap(), Duration::ZERO);
            (moment.day.to_string(), moment.until_midnight.as_secs())
        };
        assert_eq!(at("2025-02-13T15:59:30Z"), ("2025-02-13".to_owned(), 30));
        assert_eq!(at("2025-02-13T16:00:00Z"), ("2025-02-14".to_owned(), 86_400));
        assert_eq!(at("2025-02-13T15:59:59Z"), ("2025-02-13".to_owned(), 1));
    }

    #[test]
    fn days_of_a_clock_change_are_as_long_as_they_are() {
        let calendar = Calendar::new(TimeZone::get("Europe/Berlin").unwrap());
        let moment = calendar.moment("2025-03-29T23:00:00Z".parse().unwrap(), Duration::ZERO);
        assert_eq!(moment.until_midnight.as_secs(), 23 * 3600);
    }
}
