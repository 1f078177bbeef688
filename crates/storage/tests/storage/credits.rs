use silica_billing::BucketKind;
use silica_storage::{Conflict, Credit, LedgerCause, StorageError, buckets, ledger, revisions};
use silica_testkit::on_each_database;
use silica_types::Money;
use tokio::task::JoinSet;

use super::money::{credit, day, money, new_account, store, try_store, voucher};
use super::records::{account, begin, later, time};

on_each_database! {
    async fn credit_fills_its_bucket_and_stands_in_the_ledger(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let before = revisions::current(&storage).await.unwrap().latest;
        let first = credit(account, BucketKind::Gift, "0.88");
        let credited = try_store(&storage, &first).await.unwrap();
        assert_eq!((&credited.credit, credited.repeated), (&first, false));
        assert_eq!((credited.bucket.id, credited.bucket.balance, credited.bucket.version), (first.bucket, money("0.88"), 1));

        let second = try_store(&storage, &credit(account, BucketKind::Gift, "0.12")).await.unwrap();
        assert_eq!((second.bucket.id, second.credit.bucket), (first.bucket, first.bucket), "one gift bucket an account");
        assert_eq!((second.bucket.balance, second.bucket.version), (money("1.00"), 2));

        let changed: Result<Vec<_>, _> = buckets::changed_since(&storage, before).await.unwrap().into_iter().collect();
        assert_eq!(changed.unwrap(), [(before + 2, second.bucket.clone())]);
        assert_eq!(buckets::all(&storage).await.unwrap(), [second.bucket]);
        let rows = ledger::list(&storage, account, None, 10).await.unwrap().rows;
        let mut booked: Vec<_> = rows.iter().map(|row| (row.event, row.amount, &row.cause, row.at)).collect();
        booked.sort_by_key(|row| std::cmp::Reverse(row.1));
        let of = |id: uuid::Uuid, amount| (id, amount, &LedgerCause::Credit, time());
        assert_eq!(booked, [of(first.id.as_uuid(), money("0.88")), of(second.credit.id.as_uuid(), money("0.12"))]);
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn each_voucher_is_a_bucket_of_its_own(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let first = store(&storage, &voucher(account, "1", later())).await;
        let second = store(&storage, &voucher(account, "2", later())).await;
        assert_ne!(first.id, second.id);
        assert_eq!((second.balance, second.expires_at), (money("2"), Some(later())));
        assert_eq!(buckets::of_account(&storage, account).await.unwrap().len(), 2);
    }

    async fn same_request_with_its_key_again_is_answered_with_the_earlier_credit(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let first = Credit { idempotency_key: Some("top-up 1".to_owned()), ..credit(account, BucketKind::Charge, "5") };
        store(&storage, &first).await;
        store(&storage, &credit(account, BucketKind::Charge, "1")).await;
        let again = Credit { idempotency_key: first.idempotency_key.clone(), ..credit(account, BucketKind::Charge, "5.00") };
        let answer = try_store(&storage, &again).await.unwrap();
        assert_eq!((answer.credit, answer.repeated, answer.bucket.balance), (first, true, money("6")));

        let stranger = new_account(&storage).await;
        let theirs = Credit { account: stranger, ..again };
        assert!(!try_store(&storage, &theirs).await.unwrap().repeated, "keys belong to accounts");
    }

    async fn another_request_with_the_key_is_refused_by_type(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let first = Credit { idempotency_key: Some("k".to_owned()), ..voucher(account, "5", later()) };
        store(&storage, &first).await;
        for other in [
            Credit { amount: money("6"), ..first.clone() },
            Credit { kind: BucketKind::Gift, expires_at: None, ..first.clone() },
            Credit { expires_at: Some(time()), ..first.clone() },
        ] {
            let error = try_store(&storage, &other).await.unwrap_err();
            assert!(matches!(error, StorageError::Conflict(Conflict::IdempotencyKeyReused)), "{error:?}");
        }
        assert_eq!(buckets::of_account(&storage, account).await.unwrap().len(), 1);
    }

    async fn two_requests_at_once_with_one_key_credit_once(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let mut tasks = JoinSet::new();
        for storage in [storage.clone(), storage.clone(), database.reopen().await, database.reopen().await] {
            let request = Credit { idempotency_key: Some("k".to_owned()), ..credit(account, BucketKind::Charge, "5") };
            tasks.spawn(async move { try_store(&storage, &request).await.unwrap() });
        }
        let answers = tasks.join_all().await;
        assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
        assert!(answers.iter().all(|answer| answer.credit == answers[0].credit && answer.bucket.balance == money("5")));
    }

    async fn credit_beyond_the_largest_amount_is_refused_and_changes_nothing(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let most = Credit { amount: Money::from_nano(i64::MAX), ..credit(account, BucketKind::Charge, "1") };
        store(&storage, &most).await;
        let error = try_store(&storage, &credit(account, BucketKind::Charge, "0.000000001")).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::BalanceTooLarge { .. })), "{error:?}");
        assert_eq!(buckets::all(&storage).await.unwrap()[0].balance, Money::from_nano(i64::MAX));
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn credit_of_an_unknown_account_is_refused_by_type(database) {
        let storage = database.storage();
        let unknown = account("nobody@example.org").id;
        let error = try_store(&storage, &credit(unknown, BucketKind::Gift, "1")).await.unwrap_err();
        assert!(
            matches!(error, StorageError::Conflict(Conflict::NoSuchReference { what: "account", .. })),
            "{error:?}"
        );
    }

    async fn credit_of_nothing_or_less_is_refused_by_the_schema(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        for nano in [0, -1] {
            let none = Credit { amount: Money::from_nano(nano), ..credit(account, BucketKind::Gift, "1") };
            assert!(try_store(&storage, &none).await.is_err(), "{nano}");
        }
        assert_eq!(buckets::all(&storage).await.unwrap(), []);
    }

    async fn dropped_credit_leaves_nothing(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let write = begin(&storage).await;
        silica_storage::credits::insert(&write, &credit(account, BucketKind::Gift, "1")).await.unwrap();
        drop(write);
        assert_eq!(buckets::all(&storage).await.unwrap(), []);
        assert_eq!(ledger::list(&storage, account, None, 10).await.unwrap().rows, []);
    }

    async fn ended_vouchers_are_closed_once_and_engaged_ones_wait(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let ended = store(&storage, &voucher(account, "1.50", time())).await;
        let engaged = store(&storage, &voucher(account, "2.50", time())).await;
        let good = store(&storage, &voucher(account, "3", later())).await;
        let gift = store(&storage, &credit(account, BucketKind::Gift, "4")).await;
        let before = revisions::current(&storage).await.unwrap().latest;
        let border = time() + jiff::SignedDuration::from_micros(1);

        assert_eq!(buckets::expire(&storage, time(), &[], later(), day()).await.unwrap(), [], "not at its very end");
        let closed = buckets::expire(&storage, border, &[engaged.id], later(), day()).await.unwrap();
        let [voucher] = &closed[..] else { panic!("{closed:?}") };
        assert_eq!((voucher.id, voucher.balance, voucher.version), (ended.id, Money::ZERO, ended.version + 1));
        let number = revisions::current(&storage).await.unwrap().latest;
        assert_eq!(number, before + 1);
        assert_eq!(buckets::expire(&storage, border, &[engaged.id], later(), day()).await.unwrap(), []);
        assert_eq!(revisions::current(&storage).await.unwrap().latest, number, "nothing to close is no change");

        let mut open = [engaged, good, gift].map(|bucket| bucket.id);
        open.sort();
        let listed = buckets::of_account(&storage, account).await.unwrap();
        assert_eq!(listed.iter().map(|bucket| bucket.id).collect::<Vec<_>>(), open);
        let changed = buckets::changed_since(&storage, before).await.unwrap();
        assert_eq!(changed.len(), 1, "others hear of the closed one");
        let rows = ledger::list(&storage, account, None, 10).await.unwrap().rows;
        let ends: Vec<_> = rows.iter().filter(|row| row.cause == LedgerCause::Expiry).collect();
        assert_eq!((ends.len(), ends[0].amount, ends[0].event), (1, money("-1.50"), ended.id.as_uuid()));
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn vouchers_are_closed_in_any_number(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let write = begin(&storage).await;
        for _ in 0..1100 {
            silica_storage::credits::insert(&write, &voucher(account, "0.01", time())).await.unwrap();
        }
        write.commit().await.unwrap();
        let engaged = buckets::all(&storage).await.unwrap()[550].id;
        assert_eq!(buckets::expire(&storage, later(), &[engaged], later(), day()).await.unwrap().len(), 1099);
        assert_eq!(buckets::all(&storage).await.unwrap().len(), 1);
    }
}
