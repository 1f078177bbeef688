//! Cases of monthly caps.

use uuid::Uuid;

use super::*;

const KEY: ApiKeyId = ApiKeyId::from_uuid(Uuid::from_u128(1));
const MONTH: i32 = 202_502;

fn nano(nano: i64) -> Money {
    Money::from_nano(nano)
}

fn reserve(caps: &SpendCaps, cap: i64, most: i64) -> Result<SpendHold, CapReached> {
    caps.reserve(KEY, Some(nano(cap)), nano(most), MONTH)
}

#[test]
fn spent_held_and_asked_for_stay_below_the_cap() {
    let caps = SpendCaps::new();
    let first = reserve(&caps, 10, 6).unwrap();
    let refusal = reserve(&caps, 10, 5).unwrap_err();
    assert_eq!(
        refusal,
        CapReached {
            cap: nano(10),
            spent: nano(6)
        }
    );
    assert!(first.settle(nano(2), MONTH));
    assert_eq!(caps.spent(KEY, MONTH), nano(2));
    assert!(reserve(&caps, 10, 8).is_ok());
    assert!(reserve(&caps, 10, 9).is_err());
}

#[test]
fn a_hold_ends_once() {
    let caps = SpendCaps::new();
    let hold = reserve(&caps, 10, 6).unwrap();
    assert!(hold.settle(nano(3), MONTH));
    assert!(!hold.settle(nano(3), MONTH));
    hold.release();
    drop(hold);
    assert_eq!(caps.spent(KEY, MONTH), nano(3));
    drop(reserve(&caps, 10, 7).unwrap());
    assert!(reserve(&caps, 10, 7).is_ok(), "dropped holds are released");
}

#[test]
fn what_costs_nothing_is_never_refused() {
    let caps = SpendCaps::new();
    caps.install(KEY, MONTH, nano(99));
    assert!(reserve(&caps, 10, 0).is_ok());
    assert!(reserve(&caps, 10, 1).is_err());
}

#[test]
fn without_a_cap_spending_is_counted_all_the_same() {
    let caps = SpendCaps::new();
    let hold = caps.reserve(KEY, None, nano(i64::MAX), MONTH).unwrap();
    hold.settle(nano(8), MONTH);
    assert!(reserve(&caps, 10, 3).is_err());
}

#[test]
fn a_call_that_ends_in_the_next_month_counts_there() {
    let caps = SpendCaps::new();
    let hold = reserve(&caps, 10, 6).unwrap();
    let next = |most| caps.reserve(KEY, Some(nano(10)), nano(most), MONTH + 1);
    assert!(next(5).is_err(), "a running call counts into the new month");
    hold.settle(nano(6), MONTH + 1);
    assert_eq!(caps.spent(KEY, MONTH), nano(0));
    assert!(next(5).is_err());
    assert!(next(4).is_ok());
}

#[test]
fn a_clock_that_jumps_over_the_border_and_back_finds_the_month_again() {
    let caps = SpendCaps::new();
    reserve(&caps, 10, 6).unwrap().settle(nano(6), MONTH);
    for month in [203_001, MONTH + 1, MONTH, 197_001, 203_002, MONTH] {
        let hold = caps.reserve(KEY, None, nano(1), month).unwrap();
        hold.settle(nano(1), month);
    }
    assert_eq!(caps.spent(KEY, MONTH), nano(8));
}

#[test]
fn keys_do_not_share_a_cap() {
    let caps = SpendCaps::new();
    reserve(&caps, 10, 10).unwrap().settle(nano(10), MONTH);
    let other = ApiKeyId::from_uuid(Uuid::from_u128(2));
    assert!(caps.reserve(other, Some(nano(10)), nano(10), MONTH).is_ok());
}
