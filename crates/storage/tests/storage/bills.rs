use silica_billing::{BillingDay, BucketKind, Units, UsageEvent};
use silica_storage::{BillTotals, bills, ledger};
use silica_testkit::on_each_database;
use silica_types::{ApiKeyId, Money};

use super::money::{call, charged, credit, free_call, money, new_account, store, voucher};
use super::records::{later, name};

fn on(day: &str) -> BillingDay {
    day.parse().unwrap()
}

on_each_database! {
    async fn bills_split_the_same_calls_by_day_model_key_and_bucket(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let coupon = store(&storage, &voucher(account, "10", later())).await;
        let gift = store(&storage, &credit(account, BucketKind::Gift, "10")).await;
        let charge = store(&storage, &credit(account, BucketKind::Charge, "10")).await;
        let units = Units { prompt_tokens: 1, cached_tokens: 2, completion_tokens: 3, reasoning_tokens: 4, images: 5,
            pixel_steps: 6, videos: 7, text_bytes: 8, milliseconds: 9, training_tokens: 10, batch: false };
        let events = [
            UsageEvent { day: on("2025-02-13"), units, ..call(&[(&coupon, "1"), (&gift, "0.5")]) },
            UsageEvent { day: on("2025-02-14"), units, model: name("m/b"), ..call(&[(&charge, "0.25")]) },
            UsageEvent { day: on("2025-02-14"), units, key: ApiKeyId::PLAYGROUND, ..call(&[(&gift, "0.125")]) },
            UsageEvent { day: on("2025-02-14"), units, shortfall: money("3"), ..free_call(account) },
            UsageEvent { day: on("2025-02-12"), ..call(&[(&charge, "7")]) },
            UsageEvent { day: on("2025-02-15"), ..call(&[(&charge, "1")]) },
            free_call(charged(&storage, "1").await.account),
        ];
        let key = events[0].key;
        ledger::apply(&storage, &events[..3]).await.unwrap();
        ledger::apply(&storage, &events[3..]).await.unwrap();
        let (first, last) = (on("2025-02-13"), on("2025-02-14"));

        let days = bills::by_day(&storage, account, first, last).await.unwrap();
        let amounts: Vec<_> = days.iter().map(|(day, totals)| (*day, totals.calls, totals.amount())).collect();
        assert_eq!(amounts, [(first, 1, money("1.5")), (last, 3, money("3.375"))]);
        let models = bills::by_model(&storage, account, first, last).await.unwrap();
        let amounts: Vec<_> = models.iter().map(|(model, totals)| (model.as_str(), totals.calls, totals.paid())).collect();
        assert_eq!(amounts, [("m/a", 3, money("1.625")), ("m/b", 1, money("0.25"))]);
        let keys = bills::by_key(&storage, account, first, last).await.unwrap();
        let amounts: Vec<_> = keys.iter().map(|(key, totals)| (*key, totals.calls, totals.paid())).collect();
        assert_eq!(amounts, [(ApiKeyId::PLAYGROUND, 1, money("0.125")), (key, 3, money("1.75"))]);

        let expected = BillTotals {
            calls: 4, prompt_tokens: 4, cached_tokens: 8, completion_tokens: 12, reasoning_tokens: 16, images: 20,
            pixel_steps: 24, videos: 28, text_bytes: 32, milliseconds: 36, training_tokens: 40,
            voucher: money("1"), gift: money("0.625"), charge: money("0.25"), shortfall: money("3"),
        };
        let sum = |totals: Vec<BillTotals>| {
            totals.iter().fold(BillTotals::default(), |mut sum, totals| { sum.add(totals); sum })
        };
        assert_eq!(sum(days.into_iter().map(|row| row.1).collect()), expected);
        assert_eq!(sum(models.into_iter().map(|row| row.1).collect()), expected);
        assert_eq!(sum(keys.into_iter().map(|row| row.1).collect()), expected);
    }

    async fn bill_of_nothing_is_empty(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let day = on("2025-02-13");
        assert_eq!(bills::by_day(&storage, account, day, day).await.unwrap(), []);
        assert_eq!(bills::by_model(&storage, account, day, on("2025-02-12")).await.unwrap(), []);
        assert_eq!(bills::usage_of_day(&storage, day).await.unwrap(), []);
        assert_eq!(BillTotals::default().amount(), Money::ZERO);
    }

    async fn bills_need_no_rows_of_calls(database) {
        let storage = database.storage();
        let charge = charged(&storage, "1").await;
        ledger::apply(&storage, &[call(&[(&charge, "0.5")])]).await.unwrap();
        database.sabotage("ALTER TABLE ledger RENAME TO gone").await;
        let (first, last) = (on("2025-02-01"), on("2025-02-28"));
        assert_eq!(bills::by_day(&storage, charge.account, first, last).await.unwrap().len(), 1);
        assert_eq!(bills::by_model(&storage, charge.account, first, last).await.unwrap().len(), 1);
        assert_eq!(bills::by_key(&storage, charge.account, first, last).await.unwrap().len(), 1);
        assert_eq!(bills::usage_of_day(&storage, on("2025-02-14")).await.unwrap().len(), 1);
        assert_eq!(bills::spend_of_keys(&storage, 202_502).await.unwrap().len(), 1);
    }
}
