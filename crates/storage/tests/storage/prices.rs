use silica_billing::Price;
use silica_storage::{Conflict, PriceRecord, StorageError, catalogue, prices};
use silica_testkit::on_each_database;

use super::records::{begin_catalogue, later, model, name, time};

fn price(model: &str, input: &str) -> PriceRecord {
    PriceRecord {
        model: name(model),
        mode: None,
        list: Price {
            input: Some(input.parse().unwrap()),
            ..Price::default()
        },
        promotional: None,
        badge: None,
        effective_from: time(),
        effective_until: None,
        created_at: time(),
    }
}

on_each_database! {
    async fn entries_come_back_in_order_with_growing_numbers(database) {
        let storage = database.storage();
        let full = PriceRecord {
            mode: Some("image-to-video".to_owned()),
            promotional: Some(Price::default()),
            badge: Some("限免".to_owned()),
            effective_until: Some(later()),
            ..price("m/a", "0.70")
        };
        let other = price("m/b", "1");
        let write = begin_catalogue(&storage).await;
        catalogue::put(&write, &model("m/a")).await.unwrap();
        catalogue::put(&write, &model("m/b")).await.unwrap();
        let first = prices::insert(&write, &full).await.unwrap();
        let second = prices::insert(&write, &other).await.unwrap();
        let third = prices::insert(&write, &full).await.unwrap();
        write.commit().await.unwrap();
        assert!(first < second && second < third);

        let all = prices::all(&storage).await.unwrap();
        assert_eq!(all, [(first, full.clone()), (second, other), (third, full.clone())]);
        assert_eq!(all[0].1.list.input.unwrap().to_string(), "0.70", "digit for digit");
        let of_model = prices::of_model(&storage, &name("m/a")).await.unwrap();
        assert_eq!(of_model, [(first, full.clone()), (third, full)]);
        assert_eq!(prices::of_model(&storage, &name("m/c")).await.unwrap(), []);

        let versions = async |model: Option<&str>, after, limit| {
            let model = model.map(name);
            let page = prices::list(&storage, model.as_ref(), after, limit).await.unwrap();
            (page.rows.into_iter().map(|(version, _)| version).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(versions(None, None, 2).await, (vec![first, second], Some(second)));
        assert_eq!(versions(None, Some(second), 2).await, (vec![third], None));
        assert_eq!(versions(Some("m/a"), None, 1).await, (vec![first], Some(first)));
        assert_eq!(versions(Some("m/a"), Some(first), 1).await, (vec![third], None));
        assert_eq!(versions(Some("m/c"), None, 1).await, (vec![], None));
    }

    async fn price_of_an_unknown_model_is_refused_by_type(database) {
        let storage = database.storage();
        let write = begin_catalogue(&storage).await;
        let error = prices::insert(&write, &price("m/missing", "1")).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::NoSuchReference { what: "model", .. })), "{error:?}");
    }
}
