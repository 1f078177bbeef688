//! Two nodes on one Redis: what is exact, and what comes back.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; the exemption of clippy.toml covers test functions only"
)]

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use silica_billing::{
    BillingDay, Bucket, BucketKind, BucketPart, LimitSet, Metric, Moment, Need, Scope, Subject,
};
use silica_cluster::{
    Claim, ClusterOptions, Correction, DayUse, Epoch, Finish, Installed, KeyClaim, Link, Member, Order,
    Unknown, Verdict,
};
use silica_testkit::OwnRedis;
use silica_types::{AccountId, ApiKeyId, BucketId, ModelName, Money, Secret, SystemClock};

/// Clients of each node.
const CLIENTS: usize = 8;

fn options(redis: &OwnRedis) -> ClusterOptions {
    ClusterOptions {
        url: Secret::new(redis.url()),
        namespace: "test".to_owned(),
        node: silica_types::new_uuid(&SystemClock),
        timeout: Duration::from_secs(10),
        member_timeout: Duration::from_mins(10),
        forget_after: Duration::from_mins(10),
    }
}

fn at() -> Moment {
    Moment {
        monotonic: Duration::ZERO,
        day: BillingDay::from_number(20_250_213).unwrap(),
        until_midnight: Duration::from_mins(1),
    }
}

fn nano(nano: i64) -> Money {
    Money::from_nano(nano)
}

/// A node that has claimed nothing, in an open epoch.
async fn node(options: &ClusterOptions) -> Member {
    let link = Link::connect(options).await.unwrap();
    let epoch = if let Some(epoch) = link.open_epoch().await.unwrap() {
        epoch
    } else {
        let epoch = link.propose_epoch().await.unwrap();
        assert!(link.open(&epoch).await.unwrap());
        epoch
    };
    Member::join(&link, &epoch, options, &[], &[], &[]).await.unwrap()
}

/// An account with one bucket, and its key.
struct Client {
    account: AccountId,
    key: ApiKeyId,
    bucket: Bucket,
}

impl Client {
    fn with(balance: i64) -> Self {
        let account = AccountId::new(&SystemClock);
        Self {
            account,
            key: ApiKeyId::new(&SystemClock),
            bucket: Bucket {
                id: BucketId::new(&SystemClock),
                account,
                kind: BucketKind::Charge,
                balance: nano(balance),
                expires_at: None,
                version: 1,
            },
        }
    }

    async fn asks(&self, member: &Member, amount: i64, cap: Option<i64>) -> Verdict {
        let order = Order {
            account: self.account,
            key: self.key,
            buckets: &[self.bucket.id],
            amount: nano(amount),
            cap: cap.map(nano),
            scopes: &[],
            need: Need::NOTHING,
            at: at(),
        };
        member.admit(&order).await.unwrap()
    }

    async fn installed(&self, member: &Member) {
        Member::install(member.link(), member.epoch(), std::slice::from_ref(&self.bucket))
            .await
            .unwrap();
    }

    /// The end of a call that held and pays so much.
    fn end(&self, held: i64, paid: i64) -> Finish {
        let parts = |amount: i64| {
            let part = BucketPart {
                bucket: self.bucket.id,
                kind: BucketKind::Charge,
                amount: nano(amount),
            };
            if amount > 0 { vec![part] } else { Vec::new() }
        };
        Finish {
            account: self.account,
            key: self.key,
            cap_held: None,
            cap_paid: nano(paid),
            held: parts(held),
            paid: parts(paid),
            corrections: Vec::new(),
            at: at(),
        }
    }

    /// What may still be spent: the most that one call can hold now, given back at once.
    async fn free(&self, member: &Member) -> i64 {
        match self.asks(member, 1 << 50, None).await {
            Verdict::Balance(available) => available.nano(),
            other => panic!("{other:?}"),
        }
    }
}

fn is_granted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Granted(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_of_each_of_two_nodes_get_exactly_the_limit_of_each_metric() {
    let redis = OwnRedis::start().await;
    let nodes = [node(&options(&redis)).await, node(&options(&redis)).await];
    for metric in Metric::ALL {
        let limit = 37;
        let scope = Scope {
            subject: Subject::Model {
                account: AccountId::new(&SystemClock),
                model: ModelName::new("a/b").unwrap(),
            },
            limits: LimitSet::NONE.with(*metric, Some(limit)),
        };
        let client = Client::with(0);
        let order = Order {
            account: client.account,
            key: client.key,
            buckets: &[],
            amount: Money::ZERO,
            cap: None,
            scopes: std::slice::from_ref(&scope),
            need: Need { tokens: 1, images: 1 },
            at: at(),
        };
        let clients = (0..2 * CLIENTS).map(|client| {
            let member = &nodes[client % 2];
            let order = &order;
            async move {
                let mut granted = 0;
                for _ in 0..10 {
                    match member.admit(order).await.unwrap() {
                        Verdict::Granted(_) => granted += 1,
                        Verdict::Limit(refusal) => {
                            assert_eq!((refusal.metric, refusal.limit), (*metric, limit));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                granted
            }
        });
        let granted: u64 = join_all(clients).await.into_iter().sum();
        assert_eq!(granted, limit, "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_almost_empty_wallet_is_never_overspent_by_two_nodes() {
    let redis = OwnRedis::start().await;
    let nodes = [node(&options(&redis)).await, node(&options(&redis)).await];
    let client = Client::with(100);
    client.installed(&nodes[0]).await;
    let calls = (0..2 * CLIENTS).map(|number| {
        let (member, client) = (&nodes[number % 2], &client);
        async move {
            let mut paid = 0;
            for _ in 0..10 {
                if is_granted(&client.asks(member, 7, None).await) {
                    assert!(member.finish(&client.end(7, 5)).await.unwrap());
                    paid += 5;
                }
            }
            paid
        }
    });
    let paid: i64 = join_all(calls).await.into_iter().sum();
    assert_eq!(client.free(&nodes[1]).await, 100 - paid);
    assert!((94..=100).contains(&paid), "{paid}");
    let left = nodes[0].left(client.account, &[client.bucket.id]).await.unwrap();
    assert_eq!(left, HashMap::from([(client.bucket.id, nano(100 - paid))]));
}

#[tokio::test]
async fn vouchers_are_spent_in_the_order_that_is_asked_for_and_nothing_when_they_are_short() {
    let redis = OwnRedis::start().await;
    let member = node(&options(&redis)).await;
    let client = Client::with(10);
    let voucher = Bucket {
        id: BucketId::new(&SystemClock),
        balance: nano(4),
        ..client.bucket.clone()
    };
    Member::install(
        member.link(),
        member.epoch(),
        &[client.bucket.clone(), voucher.clone()],
    )
    .await
    .unwrap();
    let buckets = [voucher.id, client.bucket.id];
    let order = |amount| Order {
        account: client.account,
        key: client.key,
        buckets: &buckets,
        amount: nano(amount),
        cap: None,
        scopes: &[],
        need: Need::NOTHING,
        at: at(),
    };
    assert_eq!(
        member.admit(&order(15)).await.unwrap(),
        Verdict::Balance(nano(14))
    );
    let Verdict::Granted(grant) = member.admit(&order(9)).await.unwrap() else {
        panic!("14 are there");
    };
    assert_eq!(grant.parts, [(0, nano(4)), (1, nano(5))]);
}

#[tokio::test]
async fn balances_of_more_than_lua_can_count_are_exact() {
    let redis = OwnRedis::start().await;
    let member = node(&options(&redis)).await;
    let client = Client::with(i64::MAX);
    client.installed(&member).await;
    for _ in 0..3 {
        assert!(is_granted(&client.asks(&member, 1, None).await));
        assert!(member.finish(&client.end(1, 1)).await.unwrap());
    }
    let left = member.left(client.account, &[client.bucket.id]).await.unwrap();
    assert_eq!(left[&client.bucket.id], nano(i64::MAX - 3));
    // More than nine million CNY for one call.
    assert_eq!(
        client.asks(&member, 1 << 53, None).await,
        Verdict::Balance(Money::ZERO)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_holds_on_both_nodes_and_is_asked_for_when_it_is_new() {
    let redis = OwnRedis::start().await;
    let nodes = [node(&options(&redis)).await, node(&options(&redis)).await];
    let client = Client::with(1_000_000);
    client.installed(&nodes[0]).await;
    let unknown = Verdict::Unknown(Unknown::Month);
    assert_eq!(client.asks(&nodes[0], 7, Some(100)).await, unknown);
    nodes[0]
        .install_month(client.key, 202_502, nano(30))
        .await
        .unwrap();
    // An older reading changes nothing.
    nodes[1]
        .install_month(client.key, 202_502, nano(20))
        .await
        .unwrap();
    let calls = (0..2 * CLIENTS).map(|number| client.asks(&nodes[number % 2], 7, Some(100)));
    let verdicts = join_all(calls).await;
    assert_eq!(verdicts.iter().filter(|verdict| is_granted(verdict)).count(), 10);
    assert!(verdicts.contains(&Verdict::Cap(nano(100))), "{verdicts:?}");
    let end = Finish {
        cap_held: Some(nano(7)),
        ..client.end(7, 3)
    };
    assert!(nodes[1].finish(&end).await.unwrap());
    assert_eq!(client.asks(&nodes[0], 5, Some(100)).await, Verdict::Cap(nano(96)));
    assert!(is_granted(&client.asks(&nodes[0], 4, Some(100)).await));
}

#[tokio::test]
async fn a_member_that_is_gone_gives_back_what_it_held_and_not_what_it_settled() {
    let redis = OwnRedis::start().await;
    let mut dead_options = options(&redis);
    let dead = node(&dead_options).await;
    let client = Client::with(100);
    client.installed(&dead).await;
    assert!(is_granted(&client.asks(&dead, 30, None).await));
    assert!(is_granted(&client.asks(&dead, 20, None).await));
    assert!(dead.finish(&client.end(20, 20)).await.unwrap());
    let mut other_options = options(&redis);
    other_options.member_timeout = Duration::ZERO;
    let other = node(&other_options).await;
    assert_eq!(client.free(&other).await, 50);
    // Whoever beats is alive, whatever the timeout.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let beat = other
        .beat(&ClusterOptions {
            member_timeout: Duration::from_millis(1),
            ..other_options.clone()
        })
        .await
        .unwrap();
    assert_eq!((beat.alive, beat.given_up), (1, 1));
    assert_eq!(client.free(&other).await, 80);
    // What it does now is not heard.
    assert!(!dead.finish(&client.end(30, 30)).await.unwrap());
    assert_eq!(client.asks(&dead, 1, None).await, Verdict::Closed);
    assert_eq!(dead.beat(&dead_options).await.unwrap().alive, 0);
    // Its node comes back, and its journal is applied: 20 were paid.
    dead_options.member_timeout = Duration::from_mins(10);
    let applied = Bucket {
        balance: nano(80),
        version: 2,
        ..client.bucket.clone()
    };
    let link = Link::connect(&dead_options).await.unwrap();
    let back = Member::join(&link, dead.epoch(), &dead_options, &[applied], &[], &[])
        .await
        .unwrap();
    assert_eq!(client.free(&back).await, 80);
}

#[tokio::test]
async fn a_node_that_is_lost_with_its_journal_is_forgotten_after_a_longer_time() {
    let redis = OwnRedis::start().await;
    let lost = node(&options(&redis)).await;
    let client = Client::with(100);
    client.installed(&lost).await;
    assert!(is_granted(&client.asks(&lost, 20, None).await));
    assert!(lost.finish(&client.end(20, 20)).await.unwrap());
    let options = ClusterOptions {
        member_timeout: Duration::from_millis(1),
        forget_after: Duration::from_millis(1),
        ..options(&redis)
    };
    let other = node(&options).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let beat = other.beat(&options).await.unwrap();
    assert_eq!((beat.alive, beat.given_up, beat.forgotten), (1, 1, 1));
    assert_eq!(client.free(&other).await, 100);
}

#[tokio::test]
async fn what_the_database_has_taken_is_neither_lost_nor_doubled_in_any_order() {
    let redis = OwnRedis::start().await;
    let nodes = [node(&options(&redis)).await, node(&options(&redis)).await];
    let client = Client::with(100);
    client.installed(&nodes[0]).await;
    for (member, amount) in [(&nodes[0], 10), (&nodes[1], 20)] {
        assert!(is_granted(&client.asks(member, amount, None).await));
        assert!(member.finish(&client.end(amount, amount)).await.unwrap());
    }
    let applied = |balance, version, settled| Installed {
        bucket: Bucket {
            balance: nano(balance),
            version,
            ..client.bucket.clone()
        },
        settled: nano(settled),
    };
    // The first node's transaction came first, its word later.
    assert!(nodes[1].applied(&[applied(70, 3, 20)], &[]).await.unwrap());
    assert_eq!(client.free(&nodes[0]).await, 60, "less than there is, never more");
    assert!(nodes[0].applied(&[applied(90, 2, 10)], &[]).await.unwrap());
    assert_eq!(client.free(&nodes[1]).await, 70);
}

#[tokio::test]
async fn a_claim_says_what_a_node_holds_and_replaces_what_it_held_before() {
    let redis = OwnRedis::start().await;
    let options = options(&redis);
    let before = node(&options).await;
    let client = Client::with(100);
    client.installed(&before).await;
    before
        .install_month(client.key, 202_502, Money::ZERO)
        .await
        .unwrap();
    assert!(is_granted(&client.asks(&before, 50, Some(60)).await));
    let claims = [Claim {
        account: client.account,
        bucket: client.bucket.id,
        held: nano(5),
        settled: nano(3),
    }];
    let keys = [
        KeyClaim {
            key: client.key,
            month: None,
            amount: nano(5),
        },
        KeyClaim {
            key: client.key,
            month: Some(202_502),
            amount: nano(3),
        },
    ];
    let link = Link::connect(&options).await.unwrap();
    let after = Member::join(&link, before.epoch(), &options, &[], &claims, &keys)
        .await
        .unwrap();
    assert_eq!(client.free(&after).await, 92);
    assert_eq!(client.asks(&after, 60, Some(60)).await, Verdict::Cap(nano(8)));
    assert_eq!(client.asks(&before, 1, None).await, Verdict::Closed);
    let end = Finish {
        cap_held: Some(nano(5)),
        ..client.end(5, 0)
    };
    assert!(after.finish(&end).await.unwrap());
    assert_eq!(client.free(&after).await, 97);
    assert_eq!(client.asks(&after, 60, Some(60)).await, Verdict::Cap(nano(3)));
    // And in order: nothing is held by a node that has left.
    assert!(is_granted(&client.asks(&after, 7, None).await));
    after.leave().await.unwrap();
    let other = node(&options).await;
    assert_eq!(client.free(&other).await, 100);
}

#[tokio::test]
async fn redis_that_was_started_again_begins_another_epoch_whatever_it_has_kept() {
    let redis = OwnRedis::start().await;
    let options = options(&redis);
    let before = node(&options).await;
    let client = Client::with(100);
    client.installed(&before).await;
    redis.command(&["SAVE"]).await;
    redis.kill();
    before.link().lost().await;
    redis.restart().await;
    assert!(redis.command(&["DBSIZE"]).await.starts_with(':'));
    let link = Link::connect(&options).await.unwrap();
    assert_eq!(
        link.open_epoch().await.unwrap(),
        None,
        "old data counts for nothing"
    );
    let epoch: Epoch = link.propose_epoch().await.unwrap();
    assert_eq!(
        link.propose_epoch().await.unwrap(),
        epoch,
        "all prepare the same one"
    );
    let member = Member::join(&link, &epoch, &options, &[], &[], &[])
        .await
        .unwrap();
    assert_eq!(
        client.asks(&member, 1, None).await,
        Verdict::Closed,
        "not before it is open"
    );
    assert!(link.open(&epoch).await.unwrap());
    assert!(!link.open(&epoch).await.unwrap());
    assert_eq!(
        client.asks(&member, 1, None).await,
        Verdict::Unknown(Unknown::Bucket)
    );
    link.sweep(&epoch).await.unwrap();
    let keys = redis.command(&["KEYS", "*"]).await;
    assert!(!keys.contains(":w:"), "the old epoch's wallets are gone: {keys}");
}

#[tokio::test]
async fn a_request_that_is_refused_later_stays_counted_and_takes_nothing_else() {
    let redis = OwnRedis::start().await;
    let member = node(&options(&redis)).await;
    let client = Client::with(10);
    client.installed(&member).await;
    let scope = Scope {
        subject: Subject::Key(client.key),
        limits: LimitSet::NONE
            .with(Metric::Rpm, Some(3))
            .with(Metric::Tpm, Some(100)),
    };
    let order = |amount| Order {
        account: client.account,
        key: client.key,
        buckets: std::slice::from_ref(&client.bucket.id),
        amount: nano(amount),
        cap: None,
        scopes: std::slice::from_ref(&scope),
        need: Need {
            tokens: 60,
            images: 0,
        },
        at: at(),
    };
    assert_eq!(
        member.admit(&order(11)).await.unwrap(),
        Verdict::Balance(nano(10))
    );
    let Verdict::Granted(grant) = member.admit(&order(10)).await.unwrap() else {
        panic!("the first took no tokens");
    };
    let left: Vec<_> = grant
        .standings
        .iter()
        .map(|one| (one.metric, one.remaining))
        .collect();
    assert_eq!(left, [(Metric::Rpm, 1), (Metric::Tpm, 40)]);
    assert!(is_granted(&member.count(&order(0)).await.unwrap()));
    let Verdict::Limit(refusal) = member.count(&order(0)).await.unwrap() else {
        panic!("three were counted");
    };
    assert_eq!(refusal.metric, Metric::Rpm);
    let corrections = grant
        .taken
        .into_iter()
        .map(|taken| Correction { taken, used: 10 });
    let end = Finish {
        corrections: corrections.collect(),
        ..client.end(10, 0)
    };
    assert!(member.finish(&end).await.unwrap());
    assert_eq!(client.free(&member).await, 10);
}

#[tokio::test]
async fn days_come_back_from_the_database_and_the_higher_count_stays() {
    let redis = OwnRedis::start().await;
    let member = node(&options(&redis)).await;
    let client = Client::with(0);
    let subject = Subject::Model {
        account: client.account,
        model: ModelName::new("a/b").unwrap(),
    };
    let day = |requests, tokens| DayUse {
        subject: subject.clone(),
        requests,
        used: Need { tokens, images: 0 },
    };
    member.install_days(&[day(8, 50)], at()).await.unwrap();
    member.install_days(&[day(5, 90)], at()).await.unwrap();
    let scope = Scope {
        subject: subject.clone(),
        limits: LimitSet::NONE
            .with(Metric::Rpd, Some(10))
            .with(Metric::Tpd, Some(100)),
    };
    let order = Order {
        account: client.account,
        key: client.key,
        buckets: &[],
        amount: Money::ZERO,
        cap: None,
        scopes: std::slice::from_ref(&scope),
        need: Need { tokens: 4, images: 0 },
        at: at(),
    };
    let Verdict::Granted(grant) = member.admit(&order).await.unwrap() else {
        panic!("eight of ten");
    };
    let left: Vec<_> = grant
        .standings
        .iter()
        .map(|one| (one.metric, one.remaining))
        .collect();
    assert_eq!(left, [(Metric::Rpd, 1), (Metric::Tpd, 6)]);
}
