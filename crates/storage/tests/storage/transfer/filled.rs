//! A database with something in every table, and all that can be read of it.

use std::fmt::{Debug, Write as _};

use silica_billing::{BillingDay, Bucket, BucketKind, Price, UsageEvent, UsageLevel};
use silica_storage::{
    CatalogueFile, EngineKind, LevelPackage, PriceRecord, Storage, accounts, api_keys, bills, buckets,
    catalogue, catalogue_file, deployments, ledger, level_packages, prices, revisions,
};
use silica_types::{BucketId, CreditId, LevelPackageId, ManualClock, Secret};

use super::super::money::{call, charged, credit, day, new_account, store, voucher};
use super::super::records::{begin, begin_catalogue, deployment, key, later, model, name, time};

/// The first day that keeps its calls.
pub(super) const FIRST_KEPT: &str = "2025-02-14";
/// The days of the calls; those of the first are pruned.
const DAYS: [&str; 4] = ["2025-02-13", FIRST_KEPT, "2025-02-15", "2025-02-16"];
/// Calls of one day: more than a page has rows.
const CALLS: usize = 1200;

pub(super) fn price(model: &str, input: &str) -> PriceRecord {
    PriceRecord {
        model: name(model),
        mode: None,
        list: Price {
            input: Some(input.parse().unwrap()),
            ..Price::default()
        },
        promotional: None,
        badge: Some("限免 50%".to_owned()),
        effective_from: time(),
        effective_until: Some(later()),
        created_at: time(),
    }
}

/// Puts something into every table.
pub(super) async fn fill(storage: &Storage) {
    fill_catalogue(storage).await;
    let rich = charged(storage, "1000").await;
    let gift = store(storage, &credit(rich.account, BucketKind::Gift, "100.000000001")).await;
    let other = charged(storage, "500").await;
    // It ends with something left in it, which stays in the ledger for ever, also on a pruned day.
    store(
        storage,
        &on("2025-02-13", voucher(new_account(storage).await, "3", time())),
    )
    .await;
    let ended = buckets::expire(storage, later(), &[], later(), DAYS[0].parse().unwrap());
    assert_eq!(ended.await.unwrap().len(), 1);
    let write = begin(storage).await;
    for (account, hash) in [(rich.account, 1), (other.account, 2)] {
        api_keys::insert(&write, &key(account, hash)).await.unwrap();
    }
    write.commit().await.unwrap();
    buy_package(storage, &rich).await;
    for day in DAYS {
        for batch in calls(day, &rich, &gift, &other).chunks(400) {
            ledger::apply(storage, batch).await.unwrap();
        }
    }
    ledger::prune(storage, FIRST_KEPT.parse().unwrap()).await.unwrap();
    assert_eq!(ledger::verify(storage).await.unwrap(), []);
}

fn on(day: &str, credit: silica_storage::Credit) -> silica_storage::Credit {
    silica_storage::Credit {
        day: day.parse().unwrap(),
        ..credit
    }
}

async fn fill_catalogue(storage: &Storage) {
    let write = begin_catalogue(storage).await;
    // Databases sort such names differently.
    for id in ["m/a", "M/B", "Zm/_c", "m/-d"] {
        catalogue::put(&write, &model(id)).await.unwrap();
    }
    let mut remote = deployment("chat", &["m/a", "M/B"]);
    remote.replicas[0].engine = EngineKind::OpenAi;
    remote.replicas[0].path = None;
    remote.replicas[0].api_key = Some(Secret::new("sealed:upstream-secret"));
    deployments::put(&write, &remote).await.unwrap();
    deployments::put(&write, &deployment("Embed", &["Zm/_c"]))
        .await
        .unwrap();
    for (model, input) in [("m/a", "0.70"), ("M/B", "1"), ("m/a", "0.000000001")] {
        prices::insert(&write, &price(model, input)).await.unwrap();
    }
    let file = CatalogueFile {
        path: "/etc/a \"b\".toml".to_owned(),
        models: vec!["m/a".to_owned()],
        deployments: Vec::new(),
        applied_at: time(),
    };
    catalogue_file::put(&write, &file).await.unwrap();
    write.commit().await.unwrap();
}

async fn buy_package(storage: &Storage, charge: &Bucket) {
    let clock = ManualClock::new(time());
    let package = LevelPackage {
        id: LevelPackageId::new(&clock),
        account: charge.account,
        level: UsageLevel::L1,
        price: UsageLevel::L1.threshold(),
        voucher: BucketId::new(&clock),
        voucher_expires_at: later(),
        idempotency_key: Some("once".to_owned()),
        day: day(),
        created_at: time(),
    };
    let write = begin(storage).await;
    let credit = CreditId::new(&clock);
    level_packages::insert(&write, &package, credit).await.unwrap();
    write.commit().await.unwrap();
}

fn calls(day: &str, rich: &Bucket, gift: &Bucket, other: &Bucket) -> Vec<UsageEvent> {
    let day: BillingDay = day.parse().unwrap();
    (0..CALLS)
        .map(|index| {
            let event = match index % 3 {
                0 => call(&[(gift, "0.000000001"), (rich, "0.01")]),
                1 => call(&[(rich, "0.020000003")]),
                _ => call(&[(other, "0.07")]),
            };
            let model = ["m/a", "M/B", "Zm/_c", "m/-d"][index % 4];
            UsageEvent {
                day,
                model: name(model),
                ..event
            }
        })
        .collect()
}

/// All that a server would read, as text.
pub(super) async fn state(storage: &Storage) -> String {
    let mut text = String::new();
    let mut add = |what: &dyn Debug| writeln!(text, "{what:#?}").unwrap();
    let found = accounts::list(storage, None, 100).await.unwrap().rows;
    for account in &found {
        add(account);
        add(&api_keys::list(storage, account.id, None, 100).await.unwrap());
        add(&level_packages::list(storage, account.id, None, 100)
            .await
            .unwrap());
        add(&ledger::list(storage, account.id, None, 100_000)
            .await
            .unwrap()
            .rows);
        let (first, last) = ("2025-01-01".parse().unwrap(), "2025-12-31".parse().unwrap());
        add(&bills::by_day(storage, account.id, first, last).await.unwrap());
    }
    let mut models = catalogue::list(storage).await.unwrap();
    models.sort_by(|one, two| one.id.as_str().cmp(two.id.as_str()));
    add(&models);
    let mut deployed = deployments::list(storage).await.unwrap();
    deployed.sort_by(|one, two| one.name.cmp(&two.name));
    for deployment in &deployed {
        // Their text hides it.
        let keys = deployment
            .replicas
            .iter()
            .filter_map(|replica| replica.api_key.as_ref());
        add(&keys.map(Secret::expose).collect::<Vec<_>>());
    }
    add(&deployed);
    add(&prices::all(storage).await.unwrap());
    add(&catalogue_file::find(storage).await.unwrap());
    add(&buckets::all(storage).await.unwrap());
    add(&revisions::current(storage).await.unwrap());
    text
}
