//! One case each.

use super::super::*;
use super::{ACCOUNT, bucket, id, nano, second, voucher};
use crate::BucketKind;

fn wallets(buckets: &[Bucket]) -> Wallets {
    let wallets = Wallets::new();
    for bucket in buckets {
        wallets.install(bucket);
    }
    wallets
}

fn reserve(wallets: &Wallets, most: i64) -> Result<Hold, Insufficient> {
    wallets.reserve(ACCOUNT, nano(most), Payer::Any, second(0))
}

/// Settles and returns who paid what, and the shortfall.
fn settle(hold: &Hold, amount: i64) -> (Vec<(BucketId, i64)>, i64) {
    let settlement = hold.settle(nano(amount), second(0)).unwrap();
    let parts = settlement
        .parts
        .iter()
        .map(|part| (part.bucket, part.amount.nano()));
    (parts.collect(), settlement.shortfall.nano())
}

fn total(wallets: &Wallets) -> i64 {
    wallets.balances(ACCOUNT, second(0)).total().nano()
}

#[test]
fn vouchers_pay_first_the_soonest_before_the_later_then_gift_then_charge() {
    let wallets = wallets(&[
        bucket(1, BucketKind::Charge, 10),
        bucket(2, BucketKind::Gift, 10),
        voucher(3, 10, 200),
        voucher(5, 10, 100),
        voucher(4, 10, 100),
    ]);
    let hold = reserve(&wallets, 45).unwrap();
    let expected = vec![(id(4), 10), (id(5), 10), (id(3), 10), (id(2), 10), (id(1), 5)];
    assert_eq!(settle(&hold, 45), (expected, 0));
}

#[test]
fn a_call_is_held_whole_or_refused() {
    let wallets = wallets(&[bucket(1, BucketKind::Gift, 4), bucket(2, BucketKind::Charge, 5)]);
    let refusal = reserve(&wallets, 10).unwrap_err();
    assert_eq!(
        refusal,
        Insufficient {
            needed: nano(10),
            available: nano(9)
        }
    );
    let hold = reserve(&wallets, 9).unwrap();
    assert_eq!(hold.reserved(), nano(9));
    assert!(
        reserve(&wallets, 1).is_err(),
        "what a call holds is not free for another"
    );
}

#[test]
fn calls_that_cost_nothing_need_no_balance() {
    let wallets = wallets(&[]);
    let hold = reserve(&wallets, 0).unwrap();
    assert_eq!(settle(&hold, 0), (vec![], 0));
    assert!(reserve(&wallets, 1).is_err());
}

#[test]
fn ended_vouchers_do_not_count() {
    let wallets = wallets(&[voucher(1, 10, 100), bucket(2, BucketKind::Gift, 3)]);
    let at = |now| wallets.reserve(ACCOUNT, nano(10), Payer::Any, second(now));
    assert!(at(100).is_err(), "it ends at this moment");
    assert!(at(99).is_ok());
    assert_eq!(wallets.balances(ACCOUNT, second(99)).voucher, nano(10));
    assert_eq!(wallets.balances(ACCOUNT, second(100)).total(), nano(3));
}

#[test]
fn a_voucher_that_ends_while_the_call_runs_still_pays_it() {
    let wallets = wallets(&[voucher(1, 10, 100)]);
    let hold = reserve(&wallets, 8).unwrap();
    assert_eq!(wallets.engaged_vouchers(second(100)), [id(1)]);
    let settlement = hold.settle(nano(8), second(101)).unwrap();
    assert_eq!(settlement.shortfall, Money::ZERO);
    assert_eq!(wallets.engaged_vouchers(second(100)), [id(1)], "not booked yet");
    wallets.applied(
        &Bucket {
            balance: nano(2),
            version: 2,
            ..voucher(1, 0, 100)
        },
        nano(8),
    );
    assert_eq!(wallets.engaged_vouchers(second(100)), []);
}

#[test]
fn charge_only_calls_leave_vouchers_and_gifts_alone() {
    let wallets = wallets(&[
        voucher(1, 10, 100),
        bucket(2, BucketKind::Gift, 10),
        bucket(3, BucketKind::Charge, 5),
    ]);
    let reserve = |most| wallets.reserve(ACCOUNT, nano(most), Payer::ChargeOnly, second(0));
    let refusal = reserve(6).unwrap_err();
    assert_eq!(refusal.available, nano(5));
    let hold = reserve(4).unwrap();
    // More than was held: the charge balance alone is asked for the rest, too.
    assert_eq!(settle(&hold, 7), (vec![(id(3), 5)], 2));
}

#[test]
fn what_is_not_used_is_free_again() {
    let wallets = wallets(&[bucket(1, BucketKind::Charge, 10)]);
    let hold = reserve(&wallets, 10).unwrap();
    assert_eq!(settle(&hold, 3), (vec![(id(1), 3)], 0));
    assert_eq!(total(&wallets), 7);
    assert!(reserve(&wallets, 7).is_ok());
    assert!(reserve(&wallets, 8).is_err());
}

#[test]
fn usage_above_the_hold_takes_what_is_free_and_the_rest_is_shortfall() {
    let wallets = wallets(&[bucket(1, BucketKind::Gift, 5), bucket(2, BucketKind::Charge, 10)]);
    let other = wallets
        .reserve(ACCOUNT, nano(4), Payer::ChargeOnly, second(0))
        .unwrap();
    let hold = reserve(&wallets, 3).unwrap();
    // 5 of the gift, 6 of the charge balance: 4 of that belong to the other call.
    assert_eq!(settle(&hold, 20), (vec![(id(1), 5), (id(2), 6)], 9));
    assert_eq!(settle(&other, 4), (vec![(id(2), 4)], 0));
    assert_eq!(total(&wallets), 0);
}

#[test]
fn a_hold_ends_once() {
    let wallets = wallets(&[bucket(1, BucketKind::Charge, 10)]);
    let hold = reserve(&wallets, 6).unwrap();
    assert!(hold.settle(nano(2), second(0)).is_some());
    assert_eq!(hold.settle(nano(2), second(0)), None);
    hold.release();
    drop(hold);
    assert_eq!(total(&wallets), 8);
    let released = reserve(&wallets, 8).unwrap();
    released.release();
    assert_eq!(released.settle(nano(8), second(0)), None);
    assert!(reserve(&wallets, 8).is_ok());
}

#[test]
fn a_dropped_hold_is_released() {
    let wallets = wallets(&[bucket(1, BucketKind::Charge, 10)]);
    drop(reserve(&wallets, 10).unwrap());
    assert!(reserve(&wallets, 10).is_ok());
}

#[test]
fn amounts_below_zero_pay_nothing() {
    let wallets = wallets(&[bucket(1, BucketKind::Charge, 10)]);
    let hold = reserve(&wallets, 5).unwrap();
    assert_eq!(settle(&hold, -5), (vec![], 0));
    assert_eq!(total(&wallets), 10);
    assert!(reserve(&wallets, -1).is_ok());
}

#[test]
fn an_older_state_never_replaces_a_newer_one() {
    let wallets = wallets(&[]);
    let version = |version, balance| Bucket {
        version,
        ..bucket(1, BucketKind::Charge, balance)
    };
    wallets.install(&version(3, 30));
    wallets.install(&version(2, 99));
    assert_eq!(total(&wallets), 30);
    wallets.install(&version(4, 10));
    assert_eq!(total(&wallets), 10);
}

#[test]
fn money_is_neither_lost_nor_doubled_while_the_database_takes_it() {
    let wallets = wallets(&[bucket(1, BucketKind::Charge, 10)]);
    let hold = reserve(&wallets, 10).unwrap();
    settle(&hold, 4);
    assert_eq!(total(&wallets), 6);
    // The database has deducted 4, and a credit of 5 was seen before that was told.
    let state = |version, balance| Bucket {
        version,
        ..bucket(1, BucketKind::Charge, balance)
    };
    wallets.install(&state(3, 11));
    assert_eq!(
        total(&wallets),
        7,
        "too little for a moment is better than too much"
    );
    wallets.applied(&state(2, 6), nano(4));
    assert_eq!(total(&wallets), 11);
}

#[test]
fn what_another_process_spent_is_not_spent_again() {
    let wallets = wallets(&[bucket(1, BucketKind::Charge, 10)]);
    let hold = reserve(&wallets, 10).unwrap();
    wallets.install(&Bucket {
        version: 2,
        ..bucket(1, BucketKind::Charge, 3)
    });
    assert_eq!(settle(&hold, 9), (vec![(id(1), 3)], 6));
    assert_eq!(total(&wallets), 0);
}

#[test]
fn spent_and_ended_vouchers_are_forgotten() {
    let mut purse = Purse::default();
    purse.install(&voucher(1, 0, 100));
    purse.install(&voucher(2, 5, 150));
    purse.install(&bucket(3, BucketKind::Charge, 5));
    purse.reserve(nano(1), Payer::Any, second(200)).unwrap();
    assert_eq!(
        purse.buckets(),
        2,
        "the one with money left stays: the clock may be wrong"
    );
}
