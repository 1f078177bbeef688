//! What accounts spend by month, and the level packages that they buy.

use std::collections::BTreeMap;

use silica_billing::{Bucket, BucketKind, Monthly, UsageEvent, UsageLevel};
use silica_storage::{
    Conflict, LedgerCause, LevelPackage, PackageBuckets, Storage, StorageError, accounts, buckets, ledger,
    level_packages, revisions,
};
use silica_testkit::on_each_database;
use silica_types::{AccountId, BucketId, CreditId, LevelPackageId, ManualClock, Money};
use tokio::task::JoinSet;

use super::money::{call, charged, credit, day, money, new_account, store, voucher};
use super::records::{begin, later, time};

fn on(day: &str, event: UsageEvent) -> UsageEvent {
    UsageEvent {
        day: day.parse().unwrap(),
        ..event
    }
}

async fn spent(storage: &Storage, account: AccountId) -> Monthly<Money> {
    accounts::find(storage, account).await.unwrap().unwrap().spent
}

async fn number(storage: &Storage) -> i64 {
    revisions::current(storage).await.unwrap().latest
}

fn package(account: AccountId, level: UsageLevel) -> LevelPackage {
    let clock = ManualClock::new(time());
    LevelPackage {
        id: LevelPackageId::new(&clock),
        account,
        level,
        price: level.threshold(),
        voucher: BucketId::new(&clock),
        voucher_expires_at: later(),
        idempotency_key: None,
        day: day(),
        created_at: time(),
    }
}

async fn buy(storage: &Storage, package: &LevelPackage) -> Result<PackageBuckets, StorageError> {
    let write = begin(storage).await;
    let credit = CreditId::new(&ManualClock::new(time()));
    let bought = level_packages::insert(&write, package, credit).await?;
    write.commit().await?;
    Ok(bought)
}

/// Books calls of one yuan each.
async fn book_many(storage: Storage, charge: Bucket, count: usize) {
    for _ in 0..count {
        ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
    }
}

on_each_database! {
    async fn what_buckets_paid_is_spent_and_shortfall_is_not(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let coupon = store(&storage, &voucher(account, "3", later())).await;
        let gift = store(&storage, &credit(account, BucketKind::Gift, "2")).await;
        let charge = store(&storage, &credit(account, BucketKind::Charge, "1")).await;
        let event = UsageEvent { shortfall: money("7"), ..call(&[(&coupon, "3"), (&gift, "2"), (&charge, "5")]) };
        let applied = ledger::apply(&storage, std::slice::from_ref(&event)).await.unwrap();
        let expected = Monthly::new(202_502, money("6"), Money::ZERO);
        assert_eq!(applied.spent, BTreeMap::from([(account, expected)]));
        assert_eq!(spent(&storage, account).await, expected);

        let again = ledger::apply(&storage, &[event]).await.unwrap();
        assert_eq!((again.known, again.spent), (1, BTreeMap::new()));
        assert_eq!(spent(&storage, account).await, expected, "a call counts once");
    }

    async fn calls_count_for_the_month_of_their_day_while_it_counts(database) {
        let storage = database.storage();
        let charge = charged(&storage, "100").await;
        let one = || call(&[(&charge, "1")]);
        for (days, expected) in [
            (vec!["2025-01-31", "2025-02-01", "2025-01-31"], Monthly::new(202_502, money("1"), money("2"))),
            (vec!["2025-01-31"], Monthly::new(202_502, money("1"), money("3"))),
            (vec!["2024-12-31"], Monthly::new(202_502, money("1"), money("3"))),
            (vec!["2025-03-01"], Monthly::new(202_503, money("1"), money("1"))),
            (vec!["2025-05-01"], Monthly::new(202_505, money("1"), Money::ZERO)),
        ] {
            let events: Vec<_> = days.iter().map(|day| on(day, one())).collect();
            let applied = ledger::apply(&storage, &events).await.unwrap();
            assert_eq!(applied.spent[&charge.account], expected, "{days:?}");
            assert_eq!(spent(&storage, charge.account).await, expected, "{days:?}");
        }
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn others_hear_of_an_account_when_a_month_earns_another_level_and_only_then(database) {
        let storage = database.storage();
        let (charge, other) = (charged(&storage, "1000").await, charged(&storage, "1000").await);
        let before = number(&storage).await;
        ledger::apply(&storage, &[call(&[(&charge, "49.99")]), call(&[(&other, "1")])]).await.unwrap();
        assert_eq!(number(&storage).await, before);

        ledger::apply(&storage, &[call(&[(&charge, "0.01")]), call(&[(&other, "1")])]).await.unwrap();
        let changed = accounts::changed_since(&storage, before).await.unwrap();
        let [Ok((revision, account))] = &changed[..] else { panic!("{changed:?}") };
        assert_eq!((*revision, account.id, account.spent.best(202_502)), (before + 1, charge.account, money("50")));
        assert_eq!(number(&storage).await, before + 1);

        ledger::apply(&storage, &[call(&[(&charge, "149.99")])]).await.unwrap();
        assert_eq!(number(&storage).await, before + 1, "the level is the same");
        // The next month alone has to earn it, so that others know when the first month is over.
        ledger::apply(&storage, &[on("2025-03-02", call(&[(&charge, "60")]))]).await.unwrap();
        assert_eq!(number(&storage).await, before + 2);
        assert_eq!(spent(&storage, other.account).await.best(202_502), money("2"));
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn two_processes_count_every_call_once(database) {
        let storage = database.storage();
        let charge = charged(&storage, "1000").await;
        let mut tasks = JoinSet::new();
        for storage in [storage.clone(), storage.clone(), database.reopen().await, database.reopen().await] {
            tasks.spawn(book_many(storage, charge.clone(), 20));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(spent(&storage, charge.account).await.best(202_502), money("80"));
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn changes_of_an_account_leave_what_it_spent_since_it_was_read(database) {
        let storage = database.storage();
        let charge = charged(&storage, "100").await;
        let mut account = accounts::find(&storage, charge.account).await.unwrap().unwrap();
        ledger::apply(&storage, &[call(&[(&charge, "5")])]).await.unwrap();
        account.name = "Grace".to_owned();
        let write = begin(&storage).await;
        accounts::update(&write, &account).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(spent(&storage, charge.account).await.best(202_502), money("5"));
    }

    async fn a_package_moves_its_price_from_the_charge_balance_to_a_voucher(database) {
        let storage = database.storage();
        let charge = charged(&storage, "60").await;
        let bought = LevelPackage { idempotency_key: Some("k".to_owned()), ..package(charge.account, UsageLevel::L1) };
        let before = number(&storage).await;
        let moved = buy(&storage, &bought).await.unwrap();
        assert_eq!((moved.charge.id, moved.charge.balance, moved.charge.version), (charge.id, money("10"), charge.version + 1));
        assert_eq!((moved.voucher.id, moved.voucher.balance, moved.voucher.expires_at),
            (bought.voucher, money("50"), Some(later())));
        let mut stored = buckets::of_account(&storage, charge.account).await.unwrap();
        stored.sort_by_key(|bucket| bucket.kind);
        assert_eq!(stored, [moved.voucher, moved.charge]);
        assert_eq!(buckets::changed_since(&storage, before).await.unwrap().len(), 2, "others hear of both");

        let rows = ledger::list(&storage, charge.account, None, 10).await.unwrap().rows;
        let paid: Vec<_> = rows.iter().filter(|row| row.cause == LedgerCause::Package).collect();
        assert_eq!((paid.len(), paid[0].event, paid[0].amount, paid[0].bucket),
            (1, bought.id.as_uuid(), money("-50"), Some((charge.id, BucketKind::Charge))));
        let given = rows.iter().find(|row| row.bucket == Some((bought.voucher, BucketKind::Voucher))).unwrap();
        assert_eq!((&given.cause, given.amount), (&LedgerCause::Credit, money("50")));
        assert_eq!(spent(&storage, charge.account).await, Monthly::default(), "a purchase is no consumption");
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);

        let found = level_packages::find_by_key(&storage, charge.account, "k").await.unwrap();
        assert_eq!(found, Some(bought.clone()));
        let stranger = new_account(&storage).await;
        assert_eq!(level_packages::find_by_key(&storage, stranger, "k").await.unwrap(), None);
        assert_eq!(level_packages::list(&storage, charge.account, None, 10).await.unwrap().rows, [bought]);
        assert_eq!(level_packages::list(&storage, stranger, None, 10).await.unwrap().rows, []);
        database.sabotage("UPDATE level_packages SET price_nano = price_nano - 1").await;
        assert_eq!(ledger::verify(&storage).await.unwrap().len(), 1, "the books see what packages cost");
    }

    async fn a_package_is_paid_from_the_charge_balance_alone(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let wanted = package(account, UsageLevel::L1);
        let refused = async |available| {
            let error = buy(&storage, &wanted).await.unwrap_err();
            assert!(matches!(&error, StorageError::Conflict(Conflict::ChargeInsufficient { needed, available: found })
                if *needed == money("50") && *found == available), "{error:?}");
        };
        store(&storage, &credit(account, BucketKind::Gift, "500")).await;
        store(&storage, &voucher(account, "500", later())).await;
        refused(Money::ZERO).await;
        store(&storage, &credit(account, BucketKind::Charge, "49.999999999")).await;
        refused(money("49.999999999")).await;
        assert_eq!(buckets::of_account(&storage, account).await.unwrap().len(), 3, "no voucher came");
        assert_eq!(level_packages::list(&storage, account, None, 10).await.unwrap().rows, []);
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn purchases_at_once_never_take_more_than_there_is(database) {
        let storage = database.storage();
        let charge = charged(&storage, "120").await;
        let mut tasks = JoinSet::new();
        for storage in [storage.clone(), storage.clone(), database.reopen().await, database.reopen().await] {
            let wanted = package(charge.account, UsageLevel::L1);
            tasks.spawn(async move { buy(&storage, &wanted).await });
        }
        let bought = tasks.join_all().await;
        assert_eq!(bought.iter().filter(|outcome| outcome.is_ok()).count(), 2, "{bought:?}");
        let left = buckets::of_account(&storage, charge.account).await.unwrap();
        let balance = |kind| left.iter().filter(|bucket| bucket.kind == kind).map(|bucket| bucket.balance).sum::<Money>();
        assert_eq!((balance(BucketKind::Charge), balance(BucketKind::Voucher)), (money("20"), money("100")));
        assert_eq!(level_packages::list(&storage, charge.account, None, 10).await.unwrap().rows.len(), 2);
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    /// A database of the release before, with calls of three months.
    async fn spending_of_an_older_database_is_filled_in(database) {
        let storage = database.storage();
        let (charge, idle) = (charged(&storage, "1000").await, new_account(&storage).await);
        let first = charged(&storage, "1000").await;
        let events = [
            on("2024-11-30", call(&[(&charge, "100")])),
            on("2024-12-31", call(&[(&charge, "20")])),
            on("2025-01-01", call(&[(&charge, "3")])),
            on("2025-01-31", call(&[(&charge, "4")])),
            on("2025-02-10", call(&[(&first, "9")])),
        ];
        ledger::apply(&storage, &events).await.unwrap();
        let counted = spent(&storage, charge.account).await;
        assert_eq!(counted, Monthly::new(202_501, money("7"), money("20")));
        for column in
            ["spend_month", "spend_nano", "spend_before_nano", "bought_month", "bought_level", "bought_before"]
        {
            database.sabotage(&format!("ALTER TABLE accounts DROP COLUMN {column}")).await;
        }
        database.sabotage("DROP TABLE level_packages").await;
        database.sabotage("DELETE FROM seaql_migrations WHERE version = 'm20261129_220000_add_levels'").await;

        let storage = database.reopen().await;
        assert_eq!(spent(&storage, charge.account).await, counted);
        assert_eq!(spent(&storage, first.account).await, Monthly::new(202_502, money("9"), Money::ZERO));
        assert_eq!(spent(&storage, idle).await, Monthly::default());
    }
}
