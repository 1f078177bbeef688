use std::sync::Arc;

use silica_platform::{
    CatalogueModel, NewModel, NewPrice, Platform, PlatformError, Price, PriceEntry, PriceVersion, SubType,
};
use silica_testkit::on_each_database;
use silica_types::{ManualClock, ModelName};

use super::support::{at, open, open_at, open_other};

fn name() -> ModelName {
    ModelName::new("m/a").unwrap()
}

fn input(amount: &str) -> Price {
    Price {
        input: Some(amount.parse().unwrap()),
        ..Price::default()
    }
}

fn entry(list: Price) -> NewPrice {
    NewPrice {
        model: name(),
        mode: None,
        list,
        promotional: None,
        badge: None,
        effective_from: None,
        effective_until: None,
    }
}

async fn put(platform: &Platform, price: Price) -> Arc<CatalogueModel> {
    let new = NewModel {
        price,
        ..NewModel::new(name(), SubType::Chat)
    };
    platform.put_model(new).await.unwrap()
}

/// The input price of calls without a mode, with its version.
fn charged(platform: &Platform, time: &str) -> Option<(String, PriceVersion)> {
    let catalogue = platform.catalogue();
    let entry = catalogue
        .model("m/a")
        .unwrap()
        .schedule
        .at(at(time), None)?
        .clone();
    Some((entry.in_force().input?.to_string(), entry.version))
}

async fn listed(platform: &Platform, model: Option<&ModelName>) -> Vec<(ModelName, PriceEntry)> {
    let page = platform.prices(model, None, 100).await.unwrap();
    assert_eq!(page.next, None);
    page.rows
}

on_each_database! {
    async fn a_price_that_is_put_begins_an_entry_only_when_it_differs(database) {
        let clock = Arc::new(ManualClock::new(at("2025-02-13T00:00:00Z")));
        let platform = open_at(database, clock.clone()).await;
        put(&platform, Price::default()).await;
        assert!(listed(&platform, Some(&name())).await.is_empty(), "free needs no entry");
        put(&platform, input("0.70")).await;
        put(&platform, input("0.7")).await;
        assert_eq!(listed(&platform, Some(&name())).await.len(), 1, "the same price");
        clock.advance(jiff::SignedDuration::from_secs(60));
        put(&platform, Price::default()).await;

        let entries = listed(&platform, None).await;
        assert_eq!(entries.len(), 2);
        assert!(entries[0].1.version < entries[1].1.version);
        assert_eq!(charged(&platform, "2025-02-13T00:00:59Z").unwrap().0, "0.70");
        assert_eq!(charged(&platform, "2025-02-13T00:01:00Z"), None);
    }

    async fn later_prices_promotions_and_modes_are_in_force_in_their_time(database) {
        let platform = open(database).await;
        put(&platform, input("1")).await;
        let promotion = NewPrice {
            promotional: Some(input("0.5")),
            badge: Some("50% OFF".to_owned()),
            effective_from: Some(at("2025-03-01T00:00:00Z")),
            effective_until: Some(at("2025-03-08T00:00:00Z")),
            ..entry(input("1"))
        };
        platform.add_price(promotion).await.unwrap();
        platform.add_price(NewPrice { mode: Some("fast".to_owned()), ..entry(input("3")) }).await.unwrap();
        let other = open_other(database).await;
        for platform in [&platform, &other] {
            for (time, expected) in [
                ("2025-02-28T23:59:59.999999Z", "1"),
                ("2025-03-01T00:00:00Z", "0.5"),
                ("2025-03-07T23:59:59.999999Z", "0.5"),
                ("2025-03-08T00:00:00Z", "1"),
            ] {
                assert_eq!(charged(platform, time).unwrap().0, expected, "{time}");
            }
            let catalogue = platform.catalogue();
            let schedule = &catalogue.model("m/a").unwrap().schedule;
            let fast = schedule.at(at("2025-03-02T00:00:00Z"), Some("fast")).unwrap();
            assert_eq!(fast.in_force(), &input("3"));
        }
    }

    async fn a_price_from_before_the_book_lasts_until_another_begins(database) {
        put(&open(database).await, input("2")).await;
        database.sabotage("DELETE FROM prices").await;
        let platform = open_other(database).await;
        assert_eq!(charged(&platform, "2025-02-14T00:00:00Z"), Some(("2".to_owned(), PriceVersion(0))));
        let later = NewPrice { effective_from: Some(at("2025-03-01T00:00:00Z")), ..entry(input("4")) };
        platform.add_price(later).await.unwrap();
        assert_eq!(charged(&platform, "2025-02-14T00:00:00Z").unwrap().0, "2");
        assert_eq!(charged(&platform, "2025-03-01T00:00:00Z").unwrap().0, "4");
        assert_eq!(listed(&platform, None).await.len(), 2);
    }

    async fn the_last_price_wins_after_the_clock_was_set_back_too(database) {
        let clock = Arc::new(ManualClock::new(at("2025-02-13T12:00:00Z")));
        let platform = open_at(database, clock.clone()).await;
        put(&platform, input("1")).await;
        clock.advance(jiff::SignedDuration::from_hours(-2));
        let costs = |amount: &str| {
            let catalogue = platform.catalogue();
            let model = catalogue.model("m/a").unwrap();
            ["2025-02-13T10:00:00Z", "2025-02-13T12:00:00Z"]
                .iter()
                .all(|time| model.price_at(at(time), None).unwrap().list == input(amount))
        };
        platform.add_price(entry(input("2"))).await.unwrap();
        assert!(costs("2"));
        put(&platform, input("3")).await;
        assert!(costs("3"));
    }

    async fn unusable_prices_are_refused(database) {
        let platform = open(database).await;
        let error = platform.add_price(entry(input("1"))).await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "model", .. }), "{error:?}");
        put(&platform, input("1")).await;
        for (new, field) in [
            (NewPrice { effective_from: Some(at("2025-02-13T21:21:00Z")), ..entry(input("1")) }, "effective_from"),
            (NewPrice { effective_until: Some(at("2025-02-13T21:22:26.123456Z")), ..entry(input("1")) }, "effective_until"),
            (NewPrice { mode: Some("Fast!".to_owned()), ..entry(input("1")) }, "mode"),
            (NewPrice { badge: Some(" ".to_owned()), ..entry(input("1")) }, "badge"),
            (entry(input("1000001")), "price"),
            (NewPrice { promotional: Some(input("9999999999999999")), ..entry(input("1")) }, "promotional"),
        ] {
            let error = platform.add_price(new).await.unwrap_err();
            assert!(error.to_string().starts_with(field), "{error}");
        }
        assert_eq!(listed(&platform, None).await.len(), 1);
    }
}
