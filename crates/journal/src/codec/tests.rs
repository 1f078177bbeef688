//! Every event comes back as it was, and no bytes make the reader fall over.

use jiff::civil::Date;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::row::{self, BadRow};

fn ids() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn times() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond(),)
        .prop_map(|(nanosecond,)| Timestamp::from_nanosecond(nanosecond).unwrap())
}

fn all_units() -> impl Strategy<Value = Units> {
    let count = prop_oneof![Just(0), 1..1000_u64, any::<u64>()];
    (proptest::array::uniform10(count), any::<bool>()).prop_map(|(counts, batch)| Units {
        prompt_tokens: counts[0],
        cached_tokens: counts[1],
        completion_tokens: counts[2],
        reasoning_tokens: counts[3],
        images: counts[4],
        pixel_steps: counts[5],
        videos: counts[6],
        text_bytes: counts[7],
        milliseconds: counts[8],
        training_tokens: counts[9],
        batch,
    })
}

fn all_parts() -> impl Strategy<Value = Vec<BucketPart>> {
    let part = (ids(), proptest::sample::select(BucketKind::ALL), any::<i64>());
    vec(part, 0..40).prop_map(|parts| {
        parts
            .into_iter()
            .map(|(bucket, kind, amount)| BucketPart {
                bucket: BucketId::from_uuid(bucket),
                kind,
                amount: Money::from_nano(amount),
            })
            .collect()
    })
}

prop_compose! {
    fn events()(
        (id, account, key) in (ids(), ids(), ids()),
        (model, trace) in ("[!-~]{1,256}", "[!-~]{1,128}"),
        units in all_units(),
        source in proptest::sample::select(UsageSource::ALL),
        status in proptest::sample::select(CallStatus::ALL),
        price in option::of(any::<i64>()),
        (amount, shortfall) in (any::<i64>(), any::<i64>()),
        parts in all_parts(),
        (started_at, settled_at) in (times(), times()),
        (year, month, day) in (0..=9999_i16, 1..=12_i8, 1..=28_i8),
    ) -> UsageEvent {
        UsageEvent {
            id: RequestId::from_uuid(id),
            account: AccountId::from_uuid(account),
            key: ApiKeyId::from_uuid(key),
            model: ModelName::new(&model).unwrap(),
            units,
            source,
            price: price.map(PriceVersion),
            amount: Money::from_nano(amount),
            shortfall: Money::from_nano(shortfall),
            parts,
            trace: TraceId::from_caller(&trace).unwrap(),
            status,
            started_at,
            settled_at,
            day: BillingDay::from_date(Date::new(year, month, day).unwrap()),
        }
    }
}

fn bytes_of(event: &UsageEvent) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(event, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn event_comes_back_as_it_was(event in events()) {
        prop_assert_eq!(decode(&bytes_of(&event)).unwrap(), event);
    }

    #[test]
    fn cut_and_prolonged_events_are_refused(event in events(), cut in any::<prop::sample::Index>()) {
        let mut bytes = bytes_of(&event);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_an_event_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let _event = decode(&bytes);
    }

    #[test]
    fn changed_bytes_are_an_event_or_refused(
        event in events(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = bytes_of(&event);
        let length = bytes.len();
        bytes[at.index(length)] = byte;
        let _event = decode(&bytes);
    }

    #[test]
    fn row_is_refused_when_any_bit_of_it_changes(
        event in events(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut row = Vec::new();
        row::encode(9, 3, &event, &mut row);
        prop_assert_eq!(&row::decode(9, &row).unwrap(), &event);
        prop_assert_eq!(row::decode(8, &row), Err(BadRow::Number(9)));
        let length = row.len();
        row[at.index(length)] ^= 1 << bit;
        prop_assert!(row::decode(9, &row).is_err());
    }
}

/// Journals are read by later versions: this form never changes; another one gets another name.
#[test]
fn form_on_disk_is_fixed() {
    let event = UsageEvent {
        id: RequestId::from_uuid(Uuid::from_u128(1)),
        account: AccountId::from_uuid(Uuid::from_u128(2)),
        key: ApiKeyId::from_uuid(Uuid::from_u128(3)),
        model: ModelName::new("m").unwrap(),
        units: Units {
            prompt_tokens: 300,
            completion_tokens: 5,
            batch: true,
            ..Units::default()
        },
        source: UsageSource::Counted,
        price: Some(PriceVersion(64)),
        amount: Money::from_nano(-1),
        shortfall: Money::ZERO,
        parts: vec![BucketPart {
            bucket: BucketId::from_uuid(Uuid::from_u128(4)),
            kind: BucketKind::Gift,
            amount: Money::from_nano(8),
        }],
        trace: TraceId::from_caller("t").unwrap(),
        status: CallStatus::Failed,
        started_at: Timestamp::new(1, 2).unwrap(),
        settled_at: Timestamp::new(3, 4).unwrap(),
        day: BillingDay::from_number(20_250_213).unwrap(),
    };
    let mut row = Vec::new();
    row::encode(7, 6, &event, &mut row);
    let hex = row
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    // magic, length, number, mark; ids; model; units; source, status, price; amount, shortfall; parts;
    // trace; times; day; checksum
    let expected = [
        "534a4531",
        "5b000000",
        "0700000000000000",
        "0600000000000000",
        "00000000000000000000000000000001",
        "00000000000000000000000000000002",
        "00000000000000000000000000000003",
        "016d",
        "0580ac0205",
        "01020180010100",
        "01000000000000000000000000000000040110",
        "0174",
        "02040608",
        "caf9a713",
        "58934839",
    ];
    assert_eq!(hex, expected.concat());
}
