use std::task::Poll;

use silica_billing::{BucketKind, Units, UsageEvent};
use silica_storage::{
    Applied, LedgerCause, LedgerRow, Storage, StorageError, UnreadableRow, bills, buckets, ledger, revisions,
};
use silica_testkit::on_each_database;
use silica_types::{AccountId, ApiKeyId, Money};
use tokio::task::JoinSet;

use super::money::{call, charged, credit, day, free_call, money, new_account, store, voucher};
use super::records::{later, name, time};

async fn rows(storage: &Storage, account: AccountId) -> Vec<LedgerRow> {
    ledger::list(storage, account, None, 1000).await.unwrap().rows
}

async fn call_rows(storage: &Storage, account: AccountId) -> Vec<LedgerRow> {
    let mut rows = rows(storage, account).await;
    rows.retain(|row| matches!(row.cause, LedgerCause::Call(_)));
    rows
}

/// Lets a future wait so many times and drops it at the next wait, unless it is ready by then.
async fn drop_after<F: Future>(waits: u32, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut waited = 0;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waited == waits => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

async fn assert_sums_agree(storage: &Storage) {
    assert_eq!(ledger::verify(storage).await.unwrap(), []);
}

on_each_database! {
    async fn call_is_booked_on_each_bucket_that_paid_for_it(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let coupon = store(&storage, &voucher(account, "1.00", later())).await;
        let gift = store(&storage, &credit(account, BucketKind::Gift, "2.00")).await;
        let before = revisions::current(&storage).await.unwrap();
        let event = UsageEvent { shortfall: money("0.25"), ..call(&[(&coupon, "1.00"), (&gift, "0.5")]) };

        let applied = ledger::apply(&storage, std::slice::from_ref(&event)).await.unwrap();
        assert_eq!((applied.new, applied.known), (1, 0));
        let of = |id| applied.buckets.iter().find(|change| change.bucket.id == id).unwrap();
        assert_eq!((of(coupon.id).settled, of(coupon.id).taken), (money("1.00"), money("1.00")));
        assert_eq!((of(gift.id).bucket.balance, of(gift.id).bucket.version), (money("1.50"), gift.version + 1));
        assert_eq!(revisions::current(&storage).await.unwrap(), before, "calls take no number of a change");

        let stored = buckets::of_account(&storage, account).await.unwrap();
        let mut expected: Vec<_> = applied.buckets.into_iter().map(|change| change.bucket).collect();
        expected.sort_by_key(|bucket| bucket.id);
        assert_eq!(stored, expected);

        let booked = call_rows(&storage, account).await;
        let [first, second] = &booked[..] else { panic!("{booked:?}") };
        assert_eq!((first.bucket, first.amount, first.shortfall),
            (Some((coupon.id, BucketKind::Voucher)), money("-1.00"), money("0.25")));
        assert_eq!((second.bucket, second.amount, second.shortfall, second.position),
            (Some((gift.id, BucketKind::Gift)), money("-0.50"), Money::ZERO, 1));
        let (LedgerCause::Call(first_call), LedgerCause::Call(second_call)) = (&first.cause, &second.cause) else {
            panic!("{booked:?}");
        };
        assert_eq!((first_call.units, second_call.units), (Some(event.units), None), "units are counted once");
        assert_eq!((first.event, &first_call.trace, first_call.key), (event.id.as_uuid(), &event.trace, event.key));
        assert_sums_agree(&storage).await;
    }

    async fn free_call_is_booked_without_a_bucket(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let applied = ledger::apply(&storage, &[free_call(account)]).await.unwrap();
        assert_eq!(applied, Applied { new: 1, ..Applied::default() });
        let booked = rows(&storage, account).await;
        let [row] = &booked[..] else { panic!("{booked:?}") };
        assert_eq!((row.bucket, row.amount), (None, Money::ZERO));
        let bill = bills::by_day(&storage, account, day(), day()).await.unwrap();
        assert_eq!((bill[0].1.calls, bill[0].1.amount()), (1, Money::ZERO));
        assert_sums_agree(&storage).await;
    }

    async fn call_that_is_booked_again_changes_nothing(database) {
        let storage = database.storage();
        let charge = charged(&storage, "10").await;
        let (old, new) = (call(&[(&charge, "1")]), call(&[(&charge, "2")]));
        ledger::apply(&storage, std::slice::from_ref(&old)).await.unwrap();
        let applied = ledger::apply(&storage, &[old.clone(), new.clone(), new, old]).await.unwrap();
        assert_eq!((applied.new, applied.known), (1, 3));
        let change = &applied.buckets[0];
        assert_eq!((change.bucket.balance, change.taken), (money("7"), money("2")));
        assert_eq!(change.settled, money("3"), "what was booked before is settled all the same");
        assert_eq!(call_rows(&storage, charge.account).await.len(), 2);
        assert_sums_agree(&storage).await;
    }

    async fn bucket_gives_what_it_has_and_the_rest_is_shortfall(database) {
        let storage = database.storage();
        let charge = charged(&storage, "1.00").await;
        let events: Vec<_> = (0..3).map(|_| call(&[(&charge, "0.40")])).collect();
        let applied = ledger::apply(&storage, &events).await.unwrap();
        let change = &applied.buckets[0];
        assert_eq!((change.bucket.balance, change.taken, change.settled), (Money::ZERO, money("1.00"), money("1.20")));
        let again = ledger::apply(&storage, &[call(&[(&charge, "5")])]).await.unwrap();
        assert_eq!((again.buckets[0].taken, again.buckets[0].bucket.balance), (Money::ZERO, Money::ZERO));

        let bill = bills::by_day(&storage, charge.account, day(), day()).await.unwrap()[0].1;
        assert_eq!((bill.calls, bill.charge, bill.shortfall), (4, money("1.00"), money("5.20")));
        assert_eq!(bill.amount(), money("6.20"));
        assert_sums_agree(&storage).await;
    }

    async fn bucket_that_does_not_exist_or_is_anothers_pays_nothing(database) {
        let storage = database.storage();
        let charge = charged(&storage, "1.00").await;
        let strangers = charged(&storage, "1.00").await;
        let mut missing = charge.clone();
        missing.id = silica_types::BucketId::from_uuid(uuid::Uuid::from_u128(1));
        let mut theft = call(&[(&strangers, "0.50")]);
        theft.account = charge.account;
        let applied = ledger::apply(&storage, &[call(&[(&missing, "0.25")]), theft]).await.unwrap();
        assert_eq!(applied.buckets.len(), 1, "only the one that exists");
        assert_eq!(applied.buckets[0].bucket.balance, money("1.00"));
        let bill = bills::by_day(&storage, charge.account, day(), day()).await.unwrap()[0].1;
        assert_eq!((bill.charge, bill.shortfall), (Money::ZERO, money("0.75")));
        assert_sums_agree(&storage).await;
    }

    async fn numbers_at_the_border_leave_the_sums_whole(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let most = u64::MAX;
        let units = Units {
            prompt_tokens: most, cached_tokens: most, completion_tokens: most, reasoning_tokens: most, images: most,
            pixel_steps: most, videos: most, text_bytes: most, milliseconds: most, training_tokens: most, batch: true,
        };
        let amount = Money::from_nano(i64::MAX);
        let events: Vec<_> = (0..100)
            .map(|_| UsageEvent { units, amount, shortfall: amount, ..free_call(account) })
            .collect();
        ledger::apply(&storage, &events[..50]).await.unwrap();
        ledger::apply(&storage, &events[50..]).await.unwrap();
        let bill = bills::by_day(&storage, account, day(), day()).await.unwrap()[0].1;
        assert_eq!((bill.calls, bill.prompt_tokens), (100, 100 << 32));
        assert_eq!(bill.shortfall, money("1000000"));
        let booked = rows(&storage, account).await;
        let LedgerCause::Call(call) = &booked[0].cause else { panic!("{booked:?}") };
        assert_eq!(call.units, Some(units), "the row has the digits as they came");
        assert_sums_agree(&storage).await;
    }

    async fn batch_that_fails_at_its_end_leaves_nothing(database) {
        let storage = database.storage();
        let charge = charged(&storage, "10").await;
        let events = [call(&[(&charge, "1")]), free_call(charge.account)];
        database.sabotage("ALTER TABLE bucket_days RENAME TO gone").await;
        let error = ledger::apply(&storage, &events).await.unwrap_err();
        assert!(matches!(error, StorageError::Driver { .. }), "{error:?}");
        database.sabotage("ALTER TABLE gone RENAME TO bucket_days").await;
        assert_eq!(buckets::of_account(&storage, charge.account).await.unwrap(), std::slice::from_ref(&charge));
        assert_eq!(call_rows(&storage, charge.account).await, []);

        let applied = ledger::apply(&storage, &events).await.unwrap();
        assert_eq!((applied.new, applied.buckets[0].bucket.balance), (2, money("9")));
        assert_sums_agree(&storage).await;
    }

    async fn batch_that_is_dropped_on_its_way_is_booked_once_or_not_at_all(database) {
        let storage = database.storage();
        let charge = charged(&storage, "1000").await;
        let mut dropped = 0;
        for round in 0..60 {
            let events = [call(&[(&charge, "1")]), call(&[(&charge, "0.5")])];
            dropped += u32::from(drop_after(round % 12, ledger::apply(&storage, &events)).await.is_none());
            ledger::apply(&storage, &events).await.unwrap();
        }
        assert!(dropped > 0, "none was dropped on its way");
        let bill = bills::by_day(&storage, charge.account, day(), day()).await.unwrap()[0].1;
        assert_eq!((bill.calls, bill.charge), (120, money("90")));
        assert_sums_agree(&storage).await;
    }

    /// Two sets of connections stand for two processes; both book some of each other's calls,
    /// while an operator credits the same buckets.
    async fn processes_that_book_at_once_count_every_call_once(database) {
        let storage = database.storage();
        let mut all = Vec::new();
        let mut charges = Vec::new();
        for _ in 0..5 {
            charges.push(charged(&storage, "100").await);
        }
        for index in 0..200 {
            all.push(call(&[(&charges[index % 5], "0.01")]));
        }
        let mut tasks = JoinSet::new();
        for (process, storage) in [storage.clone(), database.reopen().await].into_iter().enumerate() {
            let events = all[process * 50..process * 50 + 150].to_vec();
            tasks.spawn(async move {
                let mut new = 0;
                for batch in events.chunks(30) {
                    new += ledger::apply(&storage, batch).await.unwrap().new;
                }
                new
            });
        }
        let operator = storage.clone();
        let accounts: Vec<_> = charges.iter().map(|charge| charge.account).collect();
        tasks.spawn(async move {
            for account in accounts {
                store(&operator, &credit(account, BucketKind::Charge, "1")).await;
            }
            0
        });
        let booked: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(booked, 200);
        for charge in &charges {
            let bucket = &buckets::of_account(&storage, charge.account).await.unwrap()[0];
            assert_eq!(bucket.balance, money("100.60"));
        }
        assert_sums_agree(&storage).await;
    }

    async fn pages_cover_an_accounts_ledger_once_in_order(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let gift = store(&storage, &credit(account, BucketKind::Gift, "5")).await;
        let charge = store(&storage, &credit(account, BucketKind::Charge, "5")).await;
        let mut events = Vec::new();
        for on in ["2025-02-12", "2025-02-14", "2025-12-31", "2026-01-01"] {
            for _ in 0..3 {
                let on = on.parse().unwrap();
                events.push(UsageEvent { day: on, ..call(&[(&gift, "0.1"), (&charge, "0.1")]) });
            }
            events.push(free_call(charged(&storage, "1").await.account));
        }
        ledger::apply(&storage, &events).await.unwrap();

        let whole = rows(&storage, account).await;
        assert_eq!(whole.len(), 2 + 4 * 3 * 2);
        let places: Vec<_> = whole.iter().map(LedgerRow::cursor).collect();
        assert!(places.is_sorted(), "{places:?}");
        for limit in [1, 2, 5, 26] {
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let page = ledger::list(&storage, account, cursor, limit).await.unwrap();
                assert!(page.rows.len() <= usize::try_from(limit).unwrap());
                seen.extend(page.rows);
                // As a client would send it back.
                cursor = page.next.map(|next| next.to_string().parse().unwrap());
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, whole, "pages of {limit}");
        }
    }

    async fn unreadable_bucket_does_not_keep_calls_from_being_booked(database) {
        let storage = database.storage();
        let bad = charged(&storage, "1").await;
        let good = charged(&storage, "1").await;
        database.sabotage("UPDATE buckets SET kind = 'sack' WHERE revision = 2").await;
        let applied = ledger::apply(&storage, &[call(&[(&bad, "0.25")]), call(&[(&good, "0.25")])]).await.unwrap();
        assert_eq!(applied.new, 2);
        assert_eq!(applied.buckets.iter().map(|change| change.bucket.id).collect::<Vec<_>>(), [good.id]);
        assert_sums_agree(&storage).await;

        let error = buckets::of_account(&storage, bad.account).await.unwrap_err();
        let StorageError::InvalidData { table: "buckets", column, row, .. } = &error else { panic!("{error:?}") };
        assert_eq!((column.as_str(), row), ("kind", &bad.id.to_string()));
        let (read, refused): (Vec<_>, Vec<_>) =
            buckets::changed_since(&storage, 0).await.unwrap().into_iter().partition(Result::is_ok);
        assert!(matches!(refused[..], [Err(UnreadableRow { id, .. })] if id == bad.id), "{refused:?}");
        assert_eq!(read.len(), 1);
    }

    async fn call_that_the_database_never_takes_does_not_keep_others_from_being_booked(database) {
        let storage = database.storage();
        let charge = charged(&storage, "100").await;
        // Makes the partition, in which PostgreSQL's trigger is then found.
        ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
        if database.url_text().starts_with("postgres") {
            database.sabotage("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE EXCEPTION 'no' USING ERRCODE = '22003'; END $$; \
                CREATE TRIGGER refuse BEFORE INSERT ON ledger FOR EACH ROW \
                WHEN (NEW.model = 'm/bad') EXECUTE FUNCTION refuse()").await;
        } else {
            database.sabotage("CREATE TRIGGER refuse BEFORE INSERT ON ledger \
                WHEN NEW.model = 'm/bad' BEGIN SELECT RAISE(ABORT, 'no'); END").await;
        }
        let mut events: Vec<_> = (0..40).map(|_| call(&[(&charge, "1")])).collect();
        for bad in [0, 7, 8, 39] {
            events[bad].model = name("m/bad");
        }
        for (new, balance) in [(36, "63"), (0, "63")] {
            let applied = ledger::apply(&storage, &events).await.unwrap();
            assert_eq!((applied.new, applied.known), (new, 36 - new));
            let [change] = &applied.buckets[..] else { panic!("{applied:?}") };
            assert_eq!(change.settled, money("40"), "nothing is left on its way");
            assert_eq!(change.taken, money(if new == 0 { "0" } else { "36" }));
            assert_eq!(change.bucket.balance, money(balance));
        }
        assert_sums_agree(&storage).await;
        assert_eq!(bills::spend_of_keys(&storage, 202_502).await.unwrap()[0].1, money("37"));
    }

    async fn calls_wait_for_a_table_that_is_missing(database) {
        let storage = database.storage();
        let charge = charged(&storage, "10").await;
        let events = [call(&[(&charge, "1")]), call(&[(&charge, "1")])];
        ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
        database.sabotage("ALTER TABLE usage_days RENAME TO gone").await;
        ledger::apply(&storage, &events).await.unwrap_err();
        database.sabotage("ALTER TABLE gone RENAME TO usage_days").await;
        assert_eq!(ledger::apply(&storage, &events).await.unwrap().new, 2);
        assert_sums_agree(&storage).await;
    }

    async fn sums_that_are_full_stay_whole_numbers_and_take_calls(database) {
        let storage = database.storage();
        let charge = charged(&storage, "10").await;
        ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
        let full = i64::MAX - 1;
        let sql = format!("UPDATE usage_days SET prompt_tokens = {full}, shortfall_nano = {full}");
        database.sabotage(&sql).await;
        let nonsense = UsageEvent {
            shortfall: Money::from_nano(i64::MAX),
            units: Units { prompt_tokens: u64::MAX, pixel_steps: u64::MAX, ..Units::default() },
            ..call(&[(&charge, "1")])
        };
        for event in [nonsense, call(&[(&charge, "1")])] {
            assert_eq!(ledger::apply(&storage, &[event]).await.unwrap().new, 1);
            let bill = bills::by_day(&storage, charge.account, day(), day()).await.unwrap()[0].1;
            assert_eq!((bill.prompt_tokens, bill.shortfall), (i64::MAX.unsigned_abs(), Money::from_nano(i64::MAX)));
            assert_eq!(bill.pixel_steps, 1 << 40);
        }
        let bill = bills::by_day(&storage, charge.account, day(), day()).await.unwrap()[0].1;
        assert_eq!((bill.calls, bill.completion_tokens, bill.charge), (3, 10, money("3")));
        database.sabotage(&format!("UPDATE bucket_days SET spent_nano = {full}")).await;
        ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
        assert_eq!(ledger::verify(&storage).await.unwrap().iter().filter(|found| {
            matches!(found, silica_storage::Discrepancy::Spending { rolled_up, .. } if rolled_up.nano() == i64::MAX)
        }).count(), 1);
    }

    async fn sums_for_limits_are_read_in_parts(database) {
        let storage = database.storage();
        let charge = charged(&storage, "1").await;
        ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
        // More roll-ups than one statement reads: one model each.
        let numbers = "calls, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, images, pixel_steps, \
            videos, text_bytes, milliseconds, training_tokens, voucher_nano, gift_nano, charge_nano, shortfall_nano";
        database.sabotage(&format!(
            "INSERT INTO usage_days (account_id, day, key_id, model, {numbers}) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) \
             SELECT account_id, day, key_id, 'm/' || i, {numbers} FROM usage_days, n"
        )).await;
        let usage = bills::usage_of_day(&storage, day()).await.unwrap();
        assert_eq!(usage.len(), 10_002);
        assert_eq!(usage.iter().map(|usage| usage.tokens).sum::<u64>(), 15 * 10_002);
        assert_eq!(bills::spend_of_keys(&storage, 202_502).await.unwrap()[0].1, money("10002"));
    }

    async fn limits_and_caps_find_what_was_used(database) {
        let storage = database.storage();
        let charge = charged(&storage, "10").await;
        let mut elsewhere = UsageEvent { model: name("m/b"), ..call(&[(&charge, "1")]) };
        elsewhere.units = Units { images: 2, videos: 1, ..Units::default() };
        let playground = UsageEvent { key: ApiKeyId::PLAYGROUND, ..call(&[(&charge, "4")]) };
        let mut next_month = call(&[(&charge, "2")]);
        next_month.day = "2025-03-01".parse().unwrap();
        let unpaid = UsageEvent { shortfall: money("9"), ..free_call(charge.account) };
        let key = elsewhere.key;
        ledger::apply(&storage, &[elsewhere, playground, next_month, unpaid]).await.unwrap();

        let mut usage = bills::usage_of_day(&storage, day()).await.unwrap();
        usage.sort_by(|left, right| left.model.cmp(&right.model));
        let counts: Vec<_> = usage.iter().map(|usage| (usage.model.as_str(), usage.calls, usage.tokens, usage.images)).collect();
        assert_eq!(counts, [("m/a", 2, 30, 0), ("m/b", 1, 0, 3)]);
        assert!(usage.iter().all(|usage| usage.account == charge.account));
        assert_eq!(bills::spend_of_keys(&storage, 202_502).await.unwrap(), [(key, money("1"))]);
        assert_eq!(bills::spend_of_keys(&storage, 202_503).await.unwrap(), [(key, money("2"))]);
        assert_eq!(bills::spend_of_keys(&storage, 202_504).await.unwrap(), []);
    }

    async fn times_keep_their_microseconds(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        ledger::apply(&storage, &[UsageEvent { settled_at: later(), ..free_call(account) }]).await.unwrap();
        let booked = rows(&storage, account).await;
        let LedgerCause::Call(call) = &booked[0].cause else { panic!("{booked:?}") };
        assert_eq!((call.started_at, booked[0].at), (time(), later()));
    }
}
