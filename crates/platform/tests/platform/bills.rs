use std::time::Instant;

use silica_platform::{
    BillGrouping, BillRange, BillSubject, BucketKind, CallStatus, KeyStatus, NewCredit, Platform,
    PlatformError, Units, UsageEvent,
};
use silica_storage::ledger;
use silica_testkit::database::{self, TestDatabase};
use silica_testkit::on_each_database;
use silica_types::{AccountId, ApiKeyId, ModelName, RequestId, SystemClock, TraceId, UsageSource};

use super::support::{account, at, key, open};

async fn book(database: &TestDatabase, calls: &[(AccountId, ApiKeyId, &str, &str)]) {
    let events: Vec<_> = calls
        .iter()
        .map(|(account, key, model, day)| UsageEvent {
            id: RequestId::new(&SystemClock),
            account: *account,
            key: *key,
            model: ModelName::new(model).unwrap(),
            units: Units {
                prompt_tokens: 10,
                completion_tokens: 5,
                ..Units::default()
            },
            source: UsageSource::Engine,
            price: None,
            amount: "0.5".parse().unwrap(),
            shortfall: "0.5".parse().unwrap(),
            parts: Vec::new(),
            trace: TraceId::from_caller("trace-1").unwrap(),
            status: CallStatus::Complete,
            started_at: at("2025-02-13T00:00:00Z"),
            settled_at: at("2025-02-13T00:00:00Z"),
            day: day.parse().unwrap(),
        })
        .collect();
    ledger::apply(&database.storage(), &events).await.unwrap();
}

async fn subjects(platform: &Platform, account: AccountId, by: BillGrouping) -> Vec<(BillSubject, u64)> {
    let range = BillRange::days("2025-01-31".parse().unwrap(), "2025-02-13".parse().unwrap()).unwrap();
    let bill = platform.bill(account, range, by).await.unwrap();
    assert_eq!(
        bill.total.calls,
        bill.rows.iter().map(|(_, row)| row.calls).sum::<u64>()
    );
    bill.rows
        .into_iter()
        .map(|(subject, row)| (subject, row.calls))
        .collect()
}

on_each_database! {
    async fn bills_group_by_day_month_model_and_key(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await.id;
        let stranger = account(&platform, "bob@example.org").await.id;
        let (kept, deleted) = (key(&platform, owner).await.record, key(&platform, owner).await.record);
        platform.delete_key(owner, deleted.id).await.unwrap();
        let foreign = key(&platform, stranger).await.record.id;
        book(database, &[
            (owner, kept.id, "m/a", "2025-01-31"),
            (owner, kept.id, "m/b", "2025-02-01"),
            (owner, deleted.id, "m/a", "2025-02-01"),
            (owner, ApiKeyId::PLAYGROUND, "m/a", "2025-02-13"),
            (owner, kept.id, "m/a", "2025-02-14"),
            (owner, kept.id, "m/a", "2025-01-30"),
            (stranger, foreign, "m/a", "2025-02-01"),
        ]).await;
        let day = |text: &str| BillSubject::Day(text.parse().unwrap());
        assert_eq!(
            subjects(&platform, owner, BillGrouping::Day).await,
            [(day("2025-01-31"), 1), (day("2025-02-01"), 2), (day("2025-02-13"), 1)]
        );
        assert_eq!(
            subjects(&platform, owner, BillGrouping::Month).await,
            [(BillSubject::Month(202_501), 1), (BillSubject::Month(202_502), 3)]
        );
        let model = |text: &str| BillSubject::Model(ModelName::new(text).unwrap());
        assert_eq!(subjects(&platform, owner, BillGrouping::Model).await, [(model("m/a"), 3), (model("m/b"), 1)]);
        let keys = subjects(&platform, owner, BillGrouping::Key).await;
        assert_eq!(keys[0], (BillSubject::Playground, 1));
        let shown: Vec<_> = keys[1..].iter().map(|(subject, calls)| match subject {
            BillSubject::Key { id, hint, status, .. } => (*id, hint.clone(), status.unwrap(), *calls),
            other => panic!("{other:?}"),
        }).collect();
        // Both keys are of one millisecond, so chance orders them.
        let mut expected = [
            (kept.id, kept.hint, KeyStatus::Normal, 2),
            (deleted.id, deleted.hint, KeyStatus::Deleted, 1),
        ];
        expected.sort_by_key(|row| row.0);
        assert_eq!(shown, expected);
    }

    async fn bills_and_ledgers_say_soon_that_the_database_is_gone_while_balances_are_known(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await.id;
        let credit = NewCredit {
            bucket: BucketKind::Charge,
            amount: "5".parse().unwrap(),
            expires_at: None,
            idempotency_key: None,
        };
        platform.credit(owner, credit).await.unwrap();
        database.storage().close().await.unwrap();
        let begin = Instant::now();
        let range = BillRange::month_of(platform.today());
        let bill = platform.bill(owner, range, BillGrouping::Day).await.unwrap_err();
        let ledger = platform.ledger(owner, None, 10).await.unwrap_err();
        for error in [bill, ledger] {
            assert!(matches!(error, PlatformError::Storage(_) | PlatformError::TooSlow), "{error:?}");
        }
        assert!(begin.elapsed().as_secs() < 8, "three seconds each at most");
        assert_eq!(platform.balances(owner).charge.to_string(), "5.00");
    }
}

#[tokio::test]
async fn postgres_that_is_slow_keeps_its_connections_from_those_who_ask_again_and_again() {
    let database = database::postgres().await;
    let platform = open(&database).await;
    let owner = account(&platform, "ada@example.org").await.id;
    let range = BillRange::month_of(platform.today());
    let ask = || platform.bill(owner, range, BillGrouping::Day);
    let slow = "BEGIN; LOCK TABLE usage_days IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6.5); COMMIT";
    let asking = async {
        while ask().await.is_ok() {}
        // The first question still runs, though nobody waits for it.
        let asked_again = futures::future::join_all((0..20).map(|_| ask()));
        let mut asked_again = std::pin::pin!(asked_again);
        let at_most_four = "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock') <= 4; END $$";
        loop {
            tokio::select! {
                answers = &mut asked_again => return answers,
                () = database.sabotage(at_most_four) => {}
            }
        }
    };
    let ((), answers) = tokio::join!(database.sabotage(slow), asking);
    for answer in answers {
        assert!(matches!(answer, Err(PlatformError::TooSlow)), "{answer:?}");
    }
    assert!(ask().await.is_ok(), "the places are free again");
}
