//! Which entry applies when.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::super::*;
use super::price;
use crate::PriceVersion;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn entry(version: i64, from: Timestamp, until: Option<Timestamp>) -> PriceEntry {
    PriceEntry {
        version: PriceVersion(version),
        mode: None,
        list: price(r#"{"input":"4"}"#),
        promotional: None,
        badge: None,
        effective_from: from,
        effective_until: until,
    }
}

fn version_at(schedule: &PriceSchedule, now: Timestamp, mode: Option<&str>) -> Option<i64> {
    schedule.at(now, mode).map(|entry| entry.version.0)
}

#[test]
fn a_price_ends_in_the_moment_in_which_the_next_begins() {
    // The promotion of V3: until February 8th, 24:00 in Beijing.
    let border = at("2025-02-09T00:00:00+08:00");
    let schedule = PriceSchedule::new(vec![
        entry(2, border, None),
        entry(1, at("2024-12-26T00:00:00+08:00"), Some(border)),
    ]);
    let nanosecond = SignedDuration::from_nanos(1);
    assert_eq!(version_at(&schedule, border - nanosecond, None), Some(1));
    assert_eq!(version_at(&schedule, border, None), Some(2));
}

#[test]
fn before_the_first_entry_and_in_a_gap_there_is_no_price() {
    let (begin, end) = (at("2025-02-01T00:00:00Z"), at("2025-02-02T00:00:00Z"));
    let schedule = PriceSchedule::new(vec![entry(1, begin, Some(end))]);
    assert_eq!(
        version_at(&schedule, begin - SignedDuration::from_nanos(1), None),
        None
    );
    assert_eq!(version_at(&schedule, begin, None), Some(1));
    assert_eq!(version_at(&schedule, end, None), None);
    assert_eq!(version_at(&PriceSchedule::default(), begin, None), None);
}

#[test]
fn the_entry_that_came_last_wins_and_then_the_highest_version() {
    let (early, late) = (at("2025-02-01T00:00:00Z"), at("2025-02-10T00:00:00Z"));
    let schedule = PriceSchedule::new(vec![
        entry(3, early, None),
        entry(1, late, None),
        entry(2, late, None),
    ]);
    assert_eq!(version_at(&schedule, early, None), Some(3));
    assert_eq!(version_at(&schedule, late, None), Some(2));
    let versions: Vec<i64> = schedule.entries().iter().map(|entry| entry.version.0).collect();
    assert_eq!(versions, [2, 1, 3]);
}

#[test]
fn a_mode_has_its_own_price_while_one_is_in_force() {
    let (begin, end) = (at("2025-02-01T00:00:00Z"), at("2025-02-02T00:00:00Z"));
    let mut image = entry(2, begin, Some(end));
    image.mode = Some("image-to-video".to_owned());
    let schedule = PriceSchedule::new(vec![image, entry(9, begin, None)]);
    assert_eq!(version_at(&schedule, begin, Some("image-to-video")), Some(2));
    assert_eq!(version_at(&schedule, begin, Some("text-to-video")), Some(9));
    assert_eq!(version_at(&schedule, begin, None), Some(9));
    assert_eq!(version_at(&schedule, end, Some("image-to-video")), Some(9));
}

#[test]
fn a_mode_without_any_price_is_free() {
    let mut image = entry(1, at("2025-02-01T00:00:00Z"), None);
    image.mode = Some("image-to-video".to_owned());
    let schedule = PriceSchedule::new(vec![image]);
    assert_eq!(
        version_at(&schedule, at("2025-03-01T00:00:00Z"), Some("text-to-video")),
        None
    );
    assert_eq!(version_at(&schedule, at("2025-03-01T00:00:00Z"), None), None);
}

#[test]
fn the_promotional_price_is_charged_instead_of_the_list_price() {
    let mut entry = entry(1, at("2025-02-01T00:00:00Z"), None);
    assert_eq!(entry.in_force(), &price(r#"{"input":"4"}"#));
    entry.promotional = Some(price(r#"{"input":"1"}"#));
    assert_eq!(entry.in_force(), &price(r#"{"input":"1"}"#));
}

prop_compose! {
    fn any_entry()(
        version in 0..20_i64,
        from in 0..50_i64,
        length in prop::option::of(0..30_i64),
        mode in prop::option::of(prop_oneof!["one", "two"]),
    ) -> PriceEntry {
        let second = |second| Timestamp::from_second(second).unwrap();
        let mut entry = entry(version, second(from), length.map(|length| second(from + length)));
        entry.mode = mode;
        entry
    }
}

proptest! {
    /// Against the rule in other words: of the entries that hold, the greatest.
    #[test]
    fn the_entry_at_any_moment_is_the_one_that_the_rule_names(
        entries in prop::collection::vec(any_entry(), 0..12),
        now in 0..90_i64,
        mode in prop::option::of(prop_oneof!["one", "two", "three"]),
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let best = |wanted: Option<&str>| {
            let holds = |entry: &&PriceEntry| {
                entry.mode.as_deref() == wanted
                    && entry.effective_from <= now
                    && entry.effective_until.is_none_or(|until| until > now)
            };
            let rank = |entry: &PriceEntry| (entry.effective_from, entry.version);
            entries.iter().filter(holds).map(rank).max()
        };
        let expected = match mode.as_deref() {
            Some(mode) => best(Some(mode)).or_else(|| best(None)),
            None => best(None),
        };
        let schedule = PriceSchedule::new(entries.clone());
        let found = schedule.at(now, mode.as_deref());
        prop_assert_eq!(found.map(|entry| (entry.effective_from, entry.version)), expected);
    }
}
