use std::sync::Arc;

use futures::future::join_all;
use jiff::SignedDuration;
use silica_platform::{BucketKind, Conflict, LedgerCause, NewCredit, PlatformError};
use silica_testkit::on_each_database;
use silica_types::{AccountId, ManualClock, Money, SystemClock};

use super::support::{account, at, open, open_at, open_other};

fn credit(bucket: BucketKind, amount: &str) -> NewCredit {
    NewCredit {
        bucket,
        amount: amount.parse().unwrap(),
        expires_at: (bucket == BucketKind::Voucher).then(|| at("2025-03-01T00:00:00Z")),
        idempotency_key: None,
    }
}

fn once(key: &str, mut new: NewCredit) -> NewCredit {
    new.idempotency_key = Some(key.to_owned());
    new
}

on_each_database! {
    async fn credits_can_be_spent_at_once_and_after_a_restart(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await.id;
        platform.credit(owner, credit(BucketKind::Gift, "0.88")).await.unwrap();
        platform.credit(owner, credit(BucketKind::Charge, "80")).await.unwrap();
        platform.credit(owner, credit(BucketKind::Charge, "8")).await.unwrap();
        platform.credit(owner, credit(BucketKind::Voucher, "0.000000001")).await.unwrap();
        let restarted = open_other(database).await;
        for platform in [&platform, &restarted] {
            let balances = platform.balances(owner);
            assert_eq!(balances.gift.to_string(), "0.88");
            assert_eq!(balances.charge.to_string(), "88.00");
            assert_eq!(balances.voucher.to_string(), "0.000000001");
        }
        let ledger = platform.ledger(owner, None, 10).await.unwrap();
        assert_eq!(ledger.rows.len(), 4);
        assert!(ledger.rows.iter().all(|row| row.cause == LedgerCause::Credit));
        // 21:22 in London is the next day in Shanghai.
        assert_eq!(ledger.rows[0].day.to_string(), "2025-02-14");
    }

    async fn a_credit_of_another_process_is_taken_over(database) {
        let (platform, other) = (open(database).await, open_other(database).await);
        let owner = account(&platform, "ada@example.org").await.id;
        platform.credit(owner, credit(BucketKind::Charge, "5")).await.unwrap();
        assert!(other.balances(owner).total().is_zero());
        // Makes the change log be read.
        other.identify("sk-unknown", None).await.unwrap_err();
        assert_eq!(other.balances(owner).charge.to_string(), "5.00");
    }

    async fn one_idempotency_key_credits_once_however_often_it_comes(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await.id;
        let together = (0..8).map(|_| platform.credit(owner, once("order-1", credit(BucketKind::Charge, "5"))));
        let credited: Vec<_> = join_all(together).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(credited.iter().filter(|credited| !credited.repeated).count(), 1);
        assert!(credited.iter().all(|each| each.credit.id == credited[0].credit.id));
        assert_eq!(platform.balances(owner).total().to_string(), "5.00");

        for different in [credit(BucketKind::Charge, "5.01"), credit(BucketKind::Gift, "5")] {
            let error = platform.credit(owner, once("order-1", different)).await.unwrap_err();
            assert!(matches!(error, PlatformError::Conflict(Conflict::IdempotencyKeyReused)), "{error:?}");
        }
        let stranger = account(&platform, "bob@example.org").await.id;
        assert!(!platform.credit(stranger, once("order-1", credit(BucketKind::Charge, "5"))).await.unwrap().repeated);
        assert_eq!(platform.balances(owner).total().to_string(), "5.00");
    }

    async fn two_processes_credit_one_idempotency_key_once(database) {
        let (platform, other) = (open(database).await, open_other(database).await);
        let owner = account(&platform, "ada@example.org").await.id;
        let new = || once("order-1", credit(BucketKind::Gift, "5"));
        let (one, two) = tokio::join!(platform.credit(owner, new()), other.credit(owner, new()));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.credit.id, one.repeated ^ two.repeated), (two.credit.id, true));
        assert_eq!(open_other(database).await.balances(owner).gift.to_string(), "5.00");
    }

    async fn vouchers_end_and_a_repeated_request_is_answered_after_the_end_too(database) {
        let clock = Arc::new(ManualClock::new(at("2025-02-28T23:59:00Z")));
        let platform = open_at(database, clock.clone()).await;
        let owner = account(&platform, "ada@example.org").await.id;
        platform.credit(owner, once("v", credit(BucketKind::Voucher, "5"))).await.unwrap();
        assert_eq!(platform.balances(owner).voucher.to_string(), "5.00");
        clock.advance(SignedDuration::from_mins(1));
        assert!(platform.balances(owner).total().is_zero());
        assert!(platform.credit(owner, once("v", credit(BucketKind::Voucher, "5"))).await.unwrap().repeated);
        let error = platform.credit(owner, credit(BucketKind::Voucher, "5")).await.unwrap_err();
        assert!(error.to_string().starts_with("expires_at"), "{error}");
    }

    async fn unusable_credits_are_refused_and_book_nothing(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await.id;
        for (new, field) in [
            (credit(BucketKind::Charge, "0"), "amount"),
            (credit(BucketKind::Charge, "-5"), "amount"),
            (NewCredit { expires_at: None, ..credit(BucketKind::Voucher, "5") }, "expires_at"),
            (NewCredit { expires_at: Some(at("2025-02-13T21:22:26Z")), ..credit(BucketKind::Voucher, "5") }, "expires_at"),
            (NewCredit { expires_at: Some(at("2026-01-01T00:00:00Z")), ..credit(BucketKind::Gift, "5") }, "expires_at"),
            (once("", credit(BucketKind::Gift, "5")), "Idempotency-Key"),
            (once("a b", credit(BucketKind::Gift, "5")), "Idempotency-Key"),
            (once(&"x".repeat(129), credit(BucketKind::Gift, "5")), "Idempotency-Key"),
        ] {
            let error = platform.credit(owner, new).await.unwrap_err();
            assert!(error.to_string().starts_with(field), "{error}");
        }
        let nobody = AccountId::new(&SystemClock);
        let error = platform.credit(nobody, credit(BucketKind::Gift, "5")).await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "account", .. }), "{error:?}");
        assert!(platform.ledger(owner, None, 10).await.unwrap().rows.is_empty());

        let most = NewCredit { amount: Money::from_nano(i64::MAX), ..credit(BucketKind::Charge, "1") };
        platform.credit(owner, most).await.unwrap();
        let error = platform.credit(owner, credit(BucketKind::Charge, "0.000000001")).await.unwrap_err();
        assert!(matches!(error, PlatformError::Conflict(Conflict::BalanceTooLarge { .. })), "{error:?}");
        assert_eq!(platform.balances(owner).charge, Money::from_nano(i64::MAX));
    }
}
