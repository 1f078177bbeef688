//! Every interleaving of the threads that share an account's money or a key's cap.
//!
//! The modules are included here with loom's primitives in the place of the standard ones, so what
//! is explored is the code that runs.

#[path = "../src/wallet/hold.rs"]
#[expect(unreachable_pub, reason = "it is public in the library")]
mod hold;
#[path = "../src/spend/key.rs"]
#[expect(dead_code, unreachable_pub, reason = "the test drives a part of the module")]
mod key;
#[path = "../src/once.rs"]
mod once;
#[path = "../src/wallet/purse.rs"]
#[expect(dead_code, unreachable_pub, reason = "the test drives a part of the module")]
mod purse;

mod sync {
    //! Loom's primitives.

    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

use jiff::Timestamp;
use loom::thread;
use silica_billing::{Bucket, BucketKind, BucketPart};
use silica_types::{AccountId, BucketId, Money};
use uuid::Uuid;

use hold::Hold;
use key::{Spend, SpendHold};
use purse::{Payer, Purse};
use sync::{Arc, Mutex, lock};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const MONTH: i32 = 202_502;

fn nano(nano: i64) -> Money {
    Money::from_nano(nano)
}

fn bucket(number: u128, kind: BucketKind, balance: i64, version: i64) -> Bucket {
    Bucket {
        id: BucketId::from_uuid(Uuid::from_u128(number)),
        account: AccountId::from_uuid(Uuid::from_u128(1)),
        kind,
        balance: nano(balance),
        expires_at: None,
        version,
    }
}

fn gift(balance: i64, version: i64) -> Bucket {
    bucket(1, BucketKind::Gift, balance, version)
}

fn charge(balance: i64, version: i64) -> Bucket {
    bucket(2, BucketKind::Charge, balance, version)
}

fn purse(buckets: &[Bucket]) -> Arc<Mutex<Purse>> {
    let mut purse = Purse::default();
    for bucket in buckets {
        purse.install(bucket);
    }
    Arc::new(Mutex::new(purse))
}

fn reserve(purse: &Arc<Mutex<Purse>>, most: i64) -> Option<Hold> {
    Hold::reserve(Arc::clone(purse), nano(most), Payer::Any, NOW).ok()
}

/// What the settlement took from the buckets; its shortfall is the rest of the amount.
fn settle(hold: &Hold, amount: i64) -> Option<i64> {
    let settlement = hold.settle(nano(amount), NOW)?;
    let paid = settlement.paid().nano();
    assert_eq!(paid + settlement.shortfall.nano(), amount);
    Some(paid)
}

fn total(purse: &Arc<Mutex<Purse>>) -> i64 {
    lock(purse).balances(NOW, |_| None).total().nano()
}

/// All that is left is free again when no call runs.
fn nothing_is_held(purse: &Arc<Mutex<Purse>>) {
    let left = total(purse);
    assert!(left >= 0);
    let hold = reserve(purse, left);
    assert_eq!(hold.map(|hold| hold.reserved().nano()), Some(left));
}

#[test]
fn two_calls_never_spend_the_same_money() {
    loom::model(|| {
        let purse = purse(&[gift(4, 1), charge(6, 1)]);
        let call = |purse: Arc<Mutex<Purse>>| move || reserve(&purse, 7).and_then(|hold| settle(&hold, 9));
        let other = thread::spawn(call(Arc::clone(&purse)));
        let mine = call(Arc::clone(&purse))();
        let others = other.join().unwrap();
        let paid = mine.unwrap_or(0) + others.unwrap_or(0);
        assert!(mine.is_some() || others.is_some(), "one of them finds enough");
        assert_eq!(total(&purse), 10 - paid);
        nothing_is_held(&purse);
    });
}

#[test]
fn a_hold_that_is_settled_and_released_at_once_ends_once() {
    loom::model(|| {
        let purse = purse(&[charge(10, 1)]);
        let hold = Arc::new(reserve(&purse, 10).unwrap());
        let settling = Arc::clone(&hold);
        let settled = thread::spawn(move || settle(&settling, 3));
        let releasing = Arc::clone(&hold);
        let released = thread::spawn(move || releasing.release());
        let again = settle(&hold, 5);
        released.join().unwrap();
        let settled = settled.join().unwrap();
        assert!(settled.is_none() || again.is_none());
        drop(hold);
        assert_eq!(total(&purse), 10 - settled.or(again).unwrap_or(0));
        nothing_is_held(&purse);
    });
}

#[test]
fn a_call_that_runs_while_the_database_takes_another_sees_no_money_twice() {
    loom::model(|| {
        let purse = purse(&[charge(10, 1)]);
        let settled = settle(&reserve(&purse, 6).unwrap(), 6).unwrap();
        let applier = {
            let purse = Arc::clone(&purse);
            thread::spawn(move || lock(&purse).applied(&charge(4, 2), nano(settled)))
        };
        // Before, in between or after: 4 are free, never 10.
        assert!(reserve(&purse, 5).is_none());
        let paid = reserve(&purse, 4).and_then(|hold| settle(&hold, 4));
        applier.join().unwrap();
        assert_eq!(paid, Some(4));
        assert_eq!(total(&purse), 0);
        nothing_is_held(&purse);
    });
}

#[test]
fn a_credit_the_applier_and_a_call_meet_in_any_order() {
    loom::model(|| {
        let purse = purse(&[charge(10, 1)]);
        let settled = settle(&reserve(&purse, 10).unwrap(), 10).unwrap();
        // The database took the 10 (version 2), then a credit of 5 came (version 3); the word of
        // each arrives in any order.
        let applier = {
            let purse = Arc::clone(&purse);
            thread::spawn(move || lock(&purse).applied(&charge(0, 2), nano(settled)))
        };
        let credit = {
            let purse = Arc::clone(&purse);
            thread::spawn(move || lock(&purse).install(&charge(5, 3)))
        };
        let paid = reserve(&purse, 5).and_then(|hold| settle(&hold, 5)).unwrap_or(0);
        applier.join().unwrap();
        credit.join().unwrap();
        assert_eq!(total(&purse), 5 - paid);
        nothing_is_held(&purse);
    });
}

#[test]
fn a_balance_that_shrinks_while_calls_run_stays_above_zero() {
    loom::model(|| {
        let purse = purse(&[charge(10, 1)]);
        let running = reserve(&purse, 5).unwrap();
        let ending = thread::spawn(move || settle(&running, 5).unwrap());
        let shrinking = {
            let purse = Arc::clone(&purse);
            thread::spawn(move || lock(&purse).install(&charge(3, 2)))
        };
        let mine = reserve(&purse, 5).and_then(|hold| settle(&hold, 5));
        let paid = mine.unwrap_or(0) + ending.join().unwrap();
        shrinking.join().unwrap();
        assert!(paid >= 3, "what is there is paid with");
        assert_eq!(total(&purse), (3 - paid).max(0));
        nothing_is_held(&purse);
    });
}

#[test]
fn what_others_have_granted_is_paid_beside_a_balance_that_is_behind() {
    loom::model(|| {
        let purse = purse(&[charge(1, 1)]);
        let part = BucketPart {
            bucket: charge(0, 0).id,
            kind: BucketKind::Charge,
            amount: nano(4),
        };
        let installing = Arc::clone(&purse);
        let credit = thread::spawn(move || lock(&installing).install(&charge(6, 2)));
        let hold = Hold::granted(Arc::clone(&purse), vec![part], Payer::Any);
        assert!(hold.is_open() && hold.parts().len() == 1);
        assert_eq!(settle(&hold, 4), Some(4));
        assert!(!hold.is_open());
        credit.join().unwrap();
        assert_eq!(total(&purse), 2);
        nothing_is_held(&purse);
    });
}

#[test]
fn two_calls_of_a_key_stay_below_its_cap() {
    loom::model(|| {
        let spend = Arc::new(Mutex::new(Spend::default()));
        let call = |spend: Arc<Mutex<Spend>>| {
            move || {
                let hold = SpendHold::reserve(spend, Some(nano(10)), nano(6), MONTH).ok()?;
                hold.settle(nano(6), MONTH).then_some(6)
            }
        };
        let other = thread::spawn(call(Arc::clone(&spend)));
        let mine = call(Arc::clone(&spend))();
        let others = other.join().unwrap();
        let paid = mine.unwrap_or(0) + others.unwrap_or(0);
        assert_eq!(paid, 6, "one of them, and not both");
        assert_eq!(lock(&spend).spent(MONTH), nano(paid));
    });
}

#[test]
fn a_cap_that_is_settled_and_released_at_once_counts_once() {
    loom::model(|| {
        let spend = Arc::new(Mutex::new(Spend::default()));
        let hold = SpendHold::reserve(Arc::clone(&spend), Some(nano(10)), nano(6), MONTH);
        let hold = Arc::new(hold.unwrap());
        let releasing = Arc::clone(&hold);
        let released = thread::spawn(move || releasing.release());
        let settled = hold.settle(nano(4), MONTH);
        released.join().unwrap();
        drop(hold);
        let spent = if settled { 4 } else { 0 };
        assert_eq!(lock(&spend).spent(MONTH), nano(spent));
        let all = SpendHold::reserve(spend, Some(nano(10)), nano(10 - spent), MONTH);
        assert!(all.is_ok(), "nothing is held any more");
    });
}
