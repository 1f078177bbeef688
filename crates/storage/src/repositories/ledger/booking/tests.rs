use jiff::Timestamp;
use proptest::prelude::*;
use silica_billing::{BillingDay, BucketPart, CallStatus, Units};
use silica_types::{ApiKeyId, BucketId, ModelName, TraceId, UsageSource};

use super::*;

const KINDS: [BucketKind; 3] = [BucketKind::Voucher, BucketKind::Gift, BucketKind::Charge];

/// Buckets of two accounts; the place says whose each is and of what kind.
fn bucket(place: usize, balance: i64) -> bucket::Model {
    bucket::Model {
        id: id(place),
        account_id: Uuid::from_u128(place as u128 % 2),
        kind: KINDS[place % 3].as_str().to_owned(),
        balance_nano: balance,
        expires_at_us: None,
        expired_day: None,
        expired_nano: 0,
        version: 1,
        created_at_us: 0,
        revision: 1,
    }
}

fn id(place: usize) -> Uuid {
    Uuid::from_u128(100 + place as u128)
}

#[derive(Debug, Clone)]
struct Call {
    id: u128,
    account: u128,
    key: u128,
    day: i8,
    parts: Vec<(usize, i64)>,
    shortfall: i64,
}

fn event(call: &Call) -> UsageEvent {
    let parts = call.parts.iter().map(|(place, amount)| BucketPart {
        bucket: BucketId::from_uuid(id(*place)),
        kind: KINDS[place % 3],
        amount: Money::from_nano(*amount),
    });
    UsageEvent {
        id: RequestId::from_uuid(Uuid::from_u128(call.id)),
        account: AccountId::from_uuid(Uuid::from_u128(call.account)),
        key: ApiKeyId::from_uuid(Uuid::from_u128(call.key)),
        model: ModelName::new("m/a").unwrap(),
        units: Units {
            prompt_tokens: 1,
            ..Units::default()
        },
        source: UsageSource::Engine,
        price: None,
        amount: Money::ZERO,
        shortfall: Money::from_nano(call.shortfall),
        parts: parts.collect(),
        trace: TraceId::from_caller("t").unwrap(),
        status: CallStatus::Complete,
        started_at: Timestamp::UNIX_EPOCH,
        settled_at: Timestamp::UNIX_EPOCH,
        day: BillingDay::from_date(jiff::civil::date(2025, 2, call.day)),
    }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let parts = proptest::collection::vec((0_usize..8, 0_i64..50), 0..4);
    let call = (0_u128..30, 0_u128..2, 0_u128..2, 1_i8..3, parts, 0_i64..5).prop_map(
        |(id, account, key, day, parts, shortfall)| Call {
            // An id belongs to one account and day.
            id: id * 8 + account * 4 + u128::from(day.unsigned_abs()),
            account,
            key,
            day,
            parts,
            shortfall,
        },
    );
    proptest::collection::vec(call, 0..30)
}

fn number(value: &sea_orm::sea_query::Value) -> i64 {
    match value {
        sea_orm::sea_query::Value::BigInt(Some(number)) => *number,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn no_bucket_goes_below_zero_and_every_nano_is_in_every_sum(
        calls in calls(),
        balances in proptest::collection::vec(0_i64..100, 6),
    ) {
        let events: Vec<UsageEvent> = calls.iter().map(event).collect();
        let unique = unique(&events);
        let mut buckets: Vec<_> = balances.iter().enumerate().map(|(place, balance)| bucket(place, *balance)).collect();
        let booking = book(&unique, &HashSet::new(), &mut buckets);

        let asked: i64 = unique.iter().map(|event| {
            event.shortfall.nano() + event.parts.iter().map(|part| part.amount.nano()).sum::<i64>()
        }).sum();
        let (mut paid, mut unpaid) = (0, 0);
        for row in &booking.rows {
            prop_assert!(number(&row[7]) <= 0);
            paid -= number(&row[7]);
            unpaid += number(&row[8]);
        }
        prop_assert_eq!(asked, paid + unpaid, "what was settled is paid or short");
        for (bucket, before) in buckets.iter().zip(&balances) {
            prop_assert!(bucket.balance_nano >= 0);
            let taken = booking.taken.get(&bucket.id).copied().unwrap_or_default();
            prop_assert_eq!(bucket.balance_nano + taken, *before);
        }
        prop_assert_eq!(booking.spending.values().sum::<i64>(), paid);
        prop_assert_eq!(booking.paid.values().sum::<i64>(), paid, "what is paid counts for a level");
        let sums = |from: usize, to: usize| booking.usage.values().map(|sums| sums[from..to].iter().sum::<i64>()).sum::<i64>();
        prop_assert_eq!(sums(NUMBERS - 4, SHORTFALL), paid);
        prop_assert_eq!(sums(SHORTFALL, NUMBERS), unpaid);
        prop_assert_eq!(usize::try_from(sums(0, 1)).unwrap(), unique.len());
        prop_assert_eq!(booking.calls, unique.len());
    }

    /// A batch that is cut anywhere, with its first part booked again, does what the whole does.
    #[test]
    fn batches_may_be_cut_and_repeated_anywhere(
        calls in calls(),
        balances in proptest::collection::vec(0_i64..100, 6),
        cut in 0_usize..30,
    ) {
        let events: Vec<UsageEvent> = calls.iter().map(event).collect();
        let events = unique(&events);
        let cut = cut.min(events.len());
        let start: Vec<_> = balances.iter().enumerate().map(|(place, balance)| bucket(place, *balance)).collect();
        let mut at_once = start.clone();
        let whole = book(&events, &HashSet::new(), &mut at_once);

        let mut in_two = start;
        let first = book(&events[..cut], &HashSet::new(), &mut in_two);
        let known = events[..cut].iter().map(|event| (event.account, event.id)).collect();
        let second = book(&events, &known, &mut in_two);
        prop_assert_eq!(in_two, at_once);
        prop_assert_eq!([first.rows, second.rows].concat(), whole.rows);
        prop_assert_eq!(first.calls + second.calls, whole.calls);
    }
}
