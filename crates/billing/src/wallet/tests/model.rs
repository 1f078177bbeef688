//! Wallets against a plain model, over any course of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::{ACCOUNT, id, nano, second};
use crate::BucketKind;

/// Something that happens to an account; indices are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve {
        most: i64,
        is_charge_only: bool,
    },
    Settle {
        hold: usize,
        amount: i64,
    },
    Release {
        hold: usize,
    },
    Credit {
        bucket: usize,
        amount: i64,
    },
    /// The database takes what is pending, and `lost` of the balance was spent elsewhere.
    Apply {
        bucket: usize,
        lost: i64,
    },
    Wait {
        seconds: i64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..60_i64, prop::bool::weighted(0.2))
            .prop_map(|(most, is_charge_only)| Step::Reserve { most, is_charge_only }),
        4 => (any::<usize>(), 0..90_i64).prop_map(|(hold, amount)| Step::Settle { hold, amount }),
        1 => any::<usize>().prop_map(|hold| Step::Release { hold }),
        1 => (any::<usize>(), 1..50_i64).prop_map(|(bucket, amount)| Step::Credit { bucket, amount }),
        2 => (any::<usize>(), prop_oneof![3 => Just(0), 1 => 1..20_i64])
            .prop_map(|(bucket, lost)| Step::Apply { bucket, lost }),
        1 => (0..20_i64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn any_buckets() -> impl Strategy<Value = Vec<Bucket>> {
    let ends = prop::array::uniform3(1..60_i64);
    let balances = prop::array::uniform5(0..80_i64);
    (ends, balances).prop_map(|(ends, balances)| {
        let kinds = [
            (BucketKind::Voucher, Some(second(ends[0]))),
            (BucketKind::Voucher, Some(second(ends[1]))),
            (BucketKind::Voucher, Some(second(ends[2]))),
            (BucketKind::Gift, None),
            (BucketKind::Charge, None),
        ];
        let numbered = (1..).zip(kinds).zip(balances);
        numbered
            .map(|((number, (kind, expires_at)), balance)| Bucket {
                id: id(number),
                account: ACCOUNT,
                kind,
                balance: nano(balance),
                expires_at,
                version: 1,
            })
            .collect()
    })
}

/// What the model knows of one bucket: the database's row, and the sums of the calls.
#[derive(Debug)]
struct Row {
    bucket: Bucket,
    pending: i64,
    reserved: i64,
}

impl Row {
    fn left(&self) -> i64 {
        (self.bucket.balance.nano() - self.pending).max(0)
    }

    fn free(&self) -> i64 {
        (self.bucket.balance.nano() - self.pending - self.reserved).max(0)
    }
}

struct World {
    wallets: Wallets,
    rows: Vec<Row>,
    /// Open holds, with what the model says that each holds of each bucket.
    holds: Vec<(Hold, Payer, BTreeMap<BucketId, i64>)>,
    now: i64,
}

impl World {
    fn new(buckets: Vec<Bucket>) -> Self {
        let wallets = Wallets::new();
        for bucket in &buckets {
            wallets.install(bucket);
        }
        let row = |bucket| Row {
            bucket,
            pending: 0,
            reserved: 0,
        };
        let mut rows: Vec<Row> = buckets.into_iter().map(row).collect();
        rows.sort_by_key(|row| (row.bucket.kind, row.bucket.expires_at, row.bucket.id));
        Self {
            wallets,
            rows,
            holds: Vec::new(),
            now: 0,
        }
    }

    fn payers(&mut self, payer: Payer) -> impl Iterator<Item = &mut Row> {
        let now = second(self.now);
        self.rows.iter_mut().filter(move |row| {
            let has_ended = row.bucket.expires_at.is_some_and(|end| end <= now);
            !has_ended && (payer == Payer::Any || row.bucket.kind == BucketKind::Charge)
        })
    }

    fn reserve(&mut self, most: i64, payer: Payer) {
        let available: i64 = self.payers(payer).map(|row| row.free()).sum();
        let hold = self.wallets.reserve(ACCOUNT, nano(most), payer, second(self.now));
        match hold {
            Ok(hold) => {
                assert!(available >= most);
                assert_eq!(hold.reserved(), nano(most));
                let (mut missing, mut held) = (most, BTreeMap::new());
                for row in self.payers(payer) {
                    let amount = missing.min(row.free());
                    row.reserved += amount;
                    missing -= amount;
                    held.insert(row.bucket.id, amount);
                }
                self.holds.push((hold, payer, held));
            }
            Err(refusal) => {
                assert!(available < most);
                assert_eq!(refusal.available, nano(available));
            }
        }
    }

    fn settle(&mut self, index: usize, amount: i64) {
        let (hold, payer, mut held) = self.holds.swap_remove(index);
        let settlement = hold.settle(nano(amount), second(self.now)).unwrap();
        let (mut missing, mut expected) = (amount, BTreeMap::<BucketId, i64>::new());
        for row in &mut self.rows {
            let part = held.remove(&row.bucket.id).unwrap_or(0);
            row.reserved -= part;
            let paid = missing.min(part).min(row.left());
            row.pending += paid;
            missing -= paid;
            *expected.entry(row.bucket.id).or_default() += paid;
        }
        for row in self.payers(payer) {
            let paid = missing.min(row.free());
            row.pending += paid;
            missing -= paid;
            *expected.entry(row.bucket.id).or_default() += paid;
        }
        expected.retain(|_, paid| *paid > 0);
        let parts = settlement
            .parts
            .iter()
            .map(|part| (part.bucket, part.amount.nano()));
        assert_eq!(parts.collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(settlement.shortfall, nano(missing));
        let paid: i64 = expected.values().sum();
        assert_eq!(paid + missing, amount, "parts and shortfall add up to the amount");
        assert_eq!(hold.settle(nano(amount), second(self.now)), None);
    }

    fn release(&mut self, index: usize) {
        let (hold, _, held) = self.holds.swap_remove(index);
        hold.release();
        for row in &mut self.rows {
            row.reserved -= held.get(&row.bucket.id).copied().unwrap_or(0);
        }
    }

    fn take(&mut self, step: Step) {
        let (rows, holds) = (self.rows.len(), self.holds.len());
        match step {
            Step::Reserve { most, is_charge_only } => {
                self.reserve(
                    most,
                    if is_charge_only {
                        Payer::ChargeOnly
                    } else {
                        Payer::Any
                    },
                );
            }
            Step::Settle { hold, amount } if holds > 0 => self.settle(hold % holds, amount),
            Step::Release { hold } if holds > 0 => self.release(hold % holds),
            Step::Settle { .. } | Step::Release { .. } => {}
            Step::Credit { bucket, amount } => {
                let row = &mut self.rows[bucket % rows];
                row.bucket.version += 1;
                row.bucket.balance = nano(row.bucket.balance.nano() + amount);
                self.wallets.install(&row.bucket);
            }
            Step::Apply { bucket, lost } => {
                let row = &mut self.rows[bucket % rows];
                let taken = std::mem::take(&mut row.pending);
                row.bucket.version += 1;
                // As the database does: it takes what there is.
                row.bucket.balance = nano((row.bucket.balance.nano() - taken - lost).max(0));
                self.wallets.applied(&row.bucket, nano(taken));
            }
            Step::Wait { seconds } => self.now += seconds,
        }
    }

    fn check(&mut self) {
        let balances = self.wallets.balances(ACCOUNT, second(self.now));
        let of = |world: &mut Self, kind| -> i64 {
            let rows = world.payers(Payer::Any).filter(|row| row.bucket.kind == kind);
            rows.map(|row| row.left()).sum()
        };
        assert_eq!(balances.voucher.nano(), of(self, BucketKind::Voucher));
        assert_eq!(balances.gift.nano(), of(self, BucketKind::Gift));
        assert_eq!(balances.charge.nano(), of(self, BucketKind::Charge));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_course_of_events_agrees_with_the_model(
        buckets in any_buckets(),
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut world = World::new(buckets);
        for step in steps {
            world.take(step);
            world.check();
        }
        // After the last call ended, all that is left is free.
        world.holds.clear();
        let total = world.wallets.balances(ACCOUNT, second(world.now)).total();
        prop_assert!(world.wallets.reserve(ACCOUNT, total, Payer::Any, second(world.now)).is_ok());
    }
}
