//! Cases of wallets.

mod cases;
mod model;

use jiff::Timestamp;
use silica_types::{AccountId, BucketId, Money};
use uuid::Uuid;

use crate::{Bucket, BucketKind};

const ACCOUNT: AccountId = AccountId::from_uuid(Uuid::from_u128(1));

fn nano(nano: i64) -> Money {
    Money::from_nano(nano)
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(number: u128) -> BucketId {
    BucketId::from_uuid(Uuid::from_u128(number))
}

fn bucket(number: u128, kind: BucketKind, balance: i64) -> Bucket {
    Bucket {
        id: id(number),
        account: ACCOUNT,
        kind,
        balance: nano(balance),
        expires_at: None,
        version: 1,
    }
}

fn voucher(number: u128, balance: i64, ends: i64) -> Bucket {
    Bucket {
        expires_at: Some(second(ends)),
        ..bucket(number, BucketKind::Voucher, balance)
    }
}
