//! Usage levels: earned by spending, bought as packages, set by operators.

use std::sync::Arc;

use futures::future::join_all;
use jiff::SignedDuration;
use silica_platform::{
    AccountChanges, BucketKind, Caller, Conflict, LedgerCause, NewLevelPackage, Platform, PlatformError,
    UsageLevel,
};
use silica_testkit::database::TestDatabase;
use silica_testkit::on_each_database;
use silica_types::{AccountId, Clock as _, ManualClock, Money, SystemClock};

use super::metering::House;
use super::support::at;

fn yuan(amount: i64) -> Money {
    Money::from_yuan(amount).unwrap()
}

fn buy(level: UsageLevel) -> NewLevelPackage {
    NewLevelPackage {
        level,
        idempotency_key: None,
    }
}

fn once(key: &str, level: UsageLevel) -> NewLevelPackage {
    NewLevelPackage {
        level,
        idempotency_key: Some(key.to_owned()),
    }
}

/// Looks at calendar and change log, as the background task does four times a second.
async fn look(platform: &Platform) {
    platform.identify("sk-unknown", None).await.unwrap_err();
}

async fn level(house: &House, caller: &Caller) -> &'static str {
    look(&house.platform).await;
    house.platform.level_of(caller).as_str()
}

/// Another process on the same clock.
async fn other(database: &TestDatabase, clock: &Arc<ManualClock>) -> Platform {
    Platform::open(database.reopen().await, Arc::clone(clock) as _)
        .await
        .unwrap()
}

fn is_insufficient(error: &PlatformError, available: i64) -> bool {
    matches!(error, PlatformError::Insufficient(insufficient) if insufficient.available == yuan(available))
}

on_each_database! {
    async fn spending_lifts_the_level_as_soon_as_it_is_booked_and_a_restart_keeps_it(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Gift, 30, None).await;
        house.credit(caller.account, BucketKind::Charge, 5_000, None).await;
        house.spend(&caller, &model, 49).await;
        house.apply().await;
        assert_eq!(house.platform.level_of(&caller), UsageLevel::L0);
        for (amount, expected) in [(1, "L1"), (149, "L1"), (1, "L2"), (1_800, "L3")] {
            house.spend(&caller, &model, amount).await;
            house.apply().await;
            assert_eq!(house.platform.level_of(&caller).as_str(), expected, "after {amount} more");
        }
        let account = house.platform.account(caller.account).await.unwrap().unwrap();
        assert_eq!(house.platform.spent(&account), (yuan(2_000), Money::ZERO));
        assert_eq!(house.platform.level_in_force(&account), UsageLevel::L3);

        house.spend(&caller, &model, 3_000).await;
        let house = house.restart(database).await;
        let account = house.platform.account(caller.account).await.unwrap().unwrap();
        assert_eq!(house.platform.level_in_force(&account), UsageLevel::L4);
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn a_level_is_judged_again_at_the_turn_of_each_month(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 5_000, None).await;
        house.spend(&caller, &model, 2_000).await;
        house.apply().await;
        let until = |time| house.clock.advance(at(time).duration_since(house.clock.now()));
        until("2025-03-10T00:00:00Z");
        house.spend(&caller, &model, 60).await;
        house.apply().await;
        // A second before midnight in Shanghai, and at midnight.
        for (time, expected) in [
            ("2025-03-31T15:59:59Z", "L3"),
            ("2025-03-31T16:00:00Z", "L1"),
            ("2025-04-30T15:59:59Z", "L1"),
            ("2025-04-30T16:00:00Z", "L0"),
        ] {
            until(time);
            assert_eq!(level(&house, &caller).await, expected, "{time}");
        }
        // What is spent on the first counts for the new month.
        house.spend(&caller, &model, 200).await;
        house.apply().await;
        assert_eq!(level(&house, &caller).await, "L2");
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn other_processes_follow_what_is_spent_here_and_the_calendar(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 5_000, None).await;
        let other = other(database, &house.clock).await;
        let key = house.platform.create_key(caller.account, silica_platform::NewKey::default()).await.unwrap();
        let there = other.identify(key.key.expose(), None).await.unwrap();
        let expect = async |expected: &str, why: &str| {
            look(&other).await;
            assert_eq!(other.level_of(&there).as_str(), expected, "{why}");
        };
        house.spend(&caller, &model, 300).await;
        house.apply().await;
        expect("L2", "spent in February").await;
        house.clock.advance(SignedDuration::from_hours(24 * 28));
        for _ in 0..5 {
            house.spend(&caller, &model, 45).await;
            house.apply().await;
        }
        expect("L2", "March has not more than February, but as high a level").await;
        house.clock.advance(SignedDuration::from_hours(24 * 31));
        expect("L2", "by March alone").await;
        house.clock.advance(SignedDuration::from_hours(24 * 30));
        expect("L0", "two months later").await;
    }

    async fn a_package_gives_its_level_at_once_and_a_voucher_that_is_spent_first(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Gift, 10_000, None).await;
        house.credit(caller.account, BucketKind::Charge, 2_100, None).await;
        let sold = house.platform.buy_level(caller.account, once("p", UsageLevel::L3)).await.unwrap();
        assert_eq!(house.platform.level_of(&caller), UsageLevel::L3, "at once");
        assert_eq!((sold.package.price, sold.repeated), (yuan(2_000), false));
        assert_eq!(sold.package.voucher_expires_at, at("2025-03-16T04:00:00Z"), "31 days");
        assert_eq!(sold.level_until, at("2025-03-31T16:00:00Z"), "the end of March in Shanghai");
        let balances = house.platform.balances(caller.account);
        assert_eq!((balances.voucher, balances.gift, balances.charge), (yuan(2_000), yuan(10_000), yuan(100)));

        let account = house.platform.account(caller.account).await.unwrap().unwrap();
        assert_eq!(house.platform.spent(&account), (Money::ZERO, Money::ZERO), "a purchase is no consumption");
        assert_eq!(house.platform.bought_level(&account), Some((UsageLevel::L3, sold.level_until)));

        let again = house.platform.buy_level(caller.account, once("p", UsageLevel::L3)).await.unwrap();
        assert_eq!((again.package, again.repeated), (sold.package.clone(), true));
        let error = house.platform.buy_level(caller.account, once("p", UsageLevel::L1)).await.unwrap_err();
        assert!(matches!(error, PlatformError::Conflict(Conflict::IdempotencyKeyReused)), "{error:?}");

        house.spend(&caller, &model, 60).await;
        house.apply().await;
        let balances = house.platform.balances(caller.account);
        assert_eq!((balances.voucher, balances.gift), (yuan(1_940), yuan(10_000)), "the voucher pays first");
        let account = house.platform.account(caller.account).await.unwrap().unwrap();
        assert_eq!(house.platform.spent(&account), (yuan(60), Money::ZERO), "what it pays is consumption");

        let house = house.restart(database).await;
        let listed = house.platform.level_packages(caller.account, None, 10).await.unwrap();
        assert_eq!(listed.rows.iter().map(|sold| &sold.package).collect::<Vec<_>>(), [&sold.package]);
        let rows = house.platform.ledger(caller.account, None, 10).await.unwrap().rows;
        assert_eq!(rows.iter().filter(|row| row.cause == LedgerCause::Package).count(), 1);
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn the_level_of_a_package_ends_with_the_next_month_and_its_voucher_by_itself(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 12_000, None).await;
        house.platform.buy_level(caller.account, buy(UsageLevel::L5)).await.unwrap();
        house.spend(&caller, &model, 60).await;
        house.apply().await;
        let until = |time| house.clock.advance(at(time).duration_since(house.clock.now()));
        until("2025-03-16T03:59:59Z");
        assert_eq!(house.platform.balances(caller.account).voucher, yuan(9_940));
        until("2025-03-16T04:00:00Z");
        assert_eq!(house.platform.balances(caller.account).voucher, Money::ZERO, "the rest ends");
        assert_eq!(level(&house, &caller).await, "L5");
        // Lower, and longer by a month.
        house.platform.buy_level(caller.account, buy(UsageLevel::L2)).await.unwrap();
        let account = house.platform.account(caller.account).await.unwrap().unwrap();
        assert_eq!(house.platform.bought_level(&account), Some((UsageLevel::L5, at("2025-03-31T16:00:00Z"))));
        until("2025-03-31T16:00:00Z");
        assert_eq!(level(&house, &caller).await, "L2");
        assert_eq!(house.platform.bought_level(&account), Some((UsageLevel::L2, at("2025-04-30T16:00:00Z"))));
        until("2025-04-30T16:00:00Z");
        assert_eq!(level(&house, &caller).await, "L0");
        assert_eq!(house.platform.bought_level(&account), None);
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn what_running_calls_hold_buys_no_package(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 57, None).await;
        // 3 are spent and not applied, 5 are held.
        house.call(&caller, &model).await.unwrap();
        let running = house.admit(&caller, &model).await.unwrap();
        let error = house.platform.buy_level(caller.account, buy(UsageLevel::L1)).await.unwrap_err();
        assert!(is_insufficient(&error, 49), "{error:?}");
        assert_eq!(house.platform.level_of(&caller), UsageLevel::L0);
        drop(running);
        house.platform.buy_level(caller.account, buy(UsageLevel::L1)).await.unwrap();
        let balances = house.platform.balances(caller.account);
        assert_eq!((balances.voucher, balances.charge), (yuan(50), yuan(4)));
        house.apply().await;
        let balances = house.platform.balances(caller.account);
        assert_eq!((balances.voucher, balances.charge), (yuan(50), yuan(4)), "settled calls stay paid");
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn purchases_and_calls_at_once_take_each_yuan_once(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 200, None).await;
        let purchases = async {
            let wanted = (0..8).map(|_| house.platform.buy_level(caller.account, buy(UsageLevel::L1)));
            join_all(wanted).await.into_iter().flatten().count()
        };
        let calls = async {
            let calls = (0..30).map(|_| house.call(&caller, &model));
            join_all(calls).await.into_iter().flatten().count()
        };
        let (bought, called) = tokio::join!(purchases, calls);
        assert!(bought > 0 && called > 0, "{bought} bought, {called} called");
        let in_memory = house.platform.balances(caller.account);
        house.apply().await;
        assert_eq!(house.platform.balances(caller.account), in_memory);
        let listed = house.platform.level_packages(caller.account, None, 10).await.unwrap().rows;
        assert_eq!(listed.len(), bought);
        let rows = house.platform.ledger(caller.account, None, 1000).await.unwrap().rows;
        assert!(rows.iter().all(|row| row.shortfall.is_zero()), "no call was left unpaid");
        assert_eq!(rows.iter().map(|row| row.amount).sum::<Money>(), in_memory.total());
        assert_eq!(in_memory.total(), yuan(200 - 3 * i64::try_from(called).unwrap()));
        assert_eq!(house.meter.audit().await.unwrap(), 0);
        let restarted = house.restart(database).await;
        assert_eq!(restarted.platform.balances(caller.account), in_memory);
    }

    async fn the_operators_level_goes_before_spending_and_packages(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 20_000, None).await;
        let set = async |level| {
            let changes = AccountChanges { level_override: Some(level), ..AccountChanges::default() };
            house.platform.update_account(caller.account, changes).await.unwrap();
        };
        set(Some(UsageLevel::L1)).await;
        house.platform.buy_level(caller.account, buy(UsageLevel::L4)).await.unwrap();
        house.spend(&caller, &model, 2_000).await;
        house.apply().await;
        assert_eq!(house.platform.level_of(&caller), UsageLevel::L1);
        set(None).await;
        assert_eq!(house.platform.level_of(&caller), UsageLevel::L4);
    }

    async fn unusable_purchases_are_refused_and_take_nothing(database) {
        let house = House::open(database).await;
        let caller = house.caller(None).await;
        house.credit(caller.account, BucketKind::Charge, 60, None).await;
        for (new, field) in [(buy(UsageLevel::L0), "level"), (once("a b", UsageLevel::L1), "Idempotency-Key")] {
            let error = house.platform.buy_level(caller.account, new).await.unwrap_err();
            assert!(error.to_string().starts_with(field), "{error}");
        }
        let error = house.platform.buy_level(caller.account, buy(UsageLevel::L2)).await.unwrap_err();
        assert!(is_insufficient(&error, 60), "{error:?}");
        let nobody = AccountId::new(&SystemClock);
        let error = house.platform.buy_level(nobody, buy(UsageLevel::L1)).await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "account", .. }), "{error:?}");
        assert_eq!(house.platform.balances(caller.account).charge, yuan(60));
        // A purchase that the database refuses holds nothing afterwards.
        house.platform.buy_level(caller.account, buy(UsageLevel::L1)).await.unwrap();
    }

    async fn two_processes_never_sell_more_than_there_is(database) {
        let house = House::open(database).await;
        let caller = house.caller(None).await;
        house.credit(caller.account, BucketKind::Charge, 120, None).await;
        let other = other(database, &house.clock).await;
        let wanted = |platform: &Platform| {
            let platform = platform.clone();
            async move { platform.buy_level(caller.account, buy(UsageLevel::L1)).await }
        };
        let outcomes = join_all((0..6).map(|index| wanted([&house.platform, &other][index % 2]))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
        for outcome in outcomes.into_iter().filter_map(Result::err) {
            assert!(is_insufficient(&outcome, 20), "{outcome:?}");
        }
        for platform in [&house.platform, &other] {
            look(platform).await;
            let balances = platform.balances(caller.account);
            assert_eq!((balances.voucher, balances.charge), (yuan(100), yuan(20)));
        }
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }
}
