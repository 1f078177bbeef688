//! From admission to the ledger: calls, restarts, days, and clocks that jump.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use silica_platform::{
    BillGrouping, BillRange, BillSubject, BucketKind, CallFacts, CallStatus, Caller, CatalogueModel,
    KeyLimits, LimitMetrics, Limits, Meter, Metric, NewCredit, NewKey, NewModel, Platform, Price, Refusal,
    Reservation, Settled, SubType, Units,
};
use silica_testkit::database::TestDatabase;
use silica_testkit::on_each_database;
use silica_types::{AccountId, Clock as _, ManualClock, ModelName, Money, RequestId, TraceId, UsageSource};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::support::{account, at, open_at};

/// Noon in Shanghai.
const NOON: &str = "2025-02-13T04:00:00Z";

/// A platform and its meter, as a server has them.
pub(crate) struct House {
    pub(crate) platform: Platform,
    pub(crate) meter: Meter,
    pub(crate) clock: Arc<ManualClock>,
    folder: TempDir,
}

impl House {
    pub(crate) async fn open(database: &TestDatabase) -> Self {
        Self::open_with(
            database,
            Arc::new(ManualClock::new(at(NOON))),
            TempDir::new().unwrap(),
        )
        .await
    }

    async fn open_with(database: &TestDatabase, clock: Arc<ManualClock>, folder: TempDir) -> Self {
        let platform = open_at(database, Arc::clone(&clock)).await;
        let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
        Self {
            platform,
            meter,
            clock,
            folder,
        }
    }

    /// Closes the journal and opens everything again, as a new process would: what was not applied
    /// is applied now.
    pub(crate) async fn restart(self, database: &TestDatabase) -> Self {
        let Self {
            meter, clock, folder, ..
        } = self;
        meter.journal().clone().close().await;
        drop(meter);
        Self::open_with(database, clock, folder).await
    }

    /// Applies what the journal holds, as the background task does at its end.
    pub(crate) async fn apply(&self) {
        let stopped = CancellationToken::new();
        stopped.cancel();
        self.meter.clone().apply_loop(stopped).await;
    }

    pub(crate) async fn model(&self, limits: Option<LimitMetrics>) -> Arc<CatalogueModel> {
        let mut model = NewModel::new(ModelName::new("m").unwrap(), SubType::Chat);
        let price = "1000000".parse().unwrap();
        model.price = Price {
            input: Some(price),
            output: Some(price),
            ..Price::default()
        };
        model.limits = limits.map(Limits::Metrics);
        self.platform.put_model(model).await.unwrap();
        Arc::clone(self.platform.catalogue().model("m").unwrap())
    }

    pub(crate) async fn caller(&self, limits: Option<KeyLimits>) -> Caller {
        let account = account(&self.platform, "a@example.org").await.id;
        let new = NewKey {
            limits,
            ..NewKey::default()
        };
        let key = self.platform.create_key(account, new).await.unwrap();
        self.platform.authenticate(key.key.expose()).unwrap()
    }

    pub(crate) async fn credit(
        &self,
        account: AccountId,
        bucket: BucketKind,
        yuan: i64,
        expires_at: Option<Timestamp>,
    ) {
        let credit = NewCredit {
            bucket,
            amount: Money::from_yuan(yuan).unwrap(),
            expires_at,
            idempotency_key: None,
        };
        self.platform.credit(account, credit).await.unwrap();
    }

    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        model: &Arc<CatalogueModel>,
    ) -> Result<Reservation, Refusal> {
        let entry = self.meter.begin(caller, model).await?;
        let facts = CallFacts {
            id: RequestId::new(&*self.clock),
            trace: TraceId::generate(&*self.clock),
            started_at: self.clock.now(),
        };
        let most = Units {
            prompt_tokens: 1,
            completion_tokens: 4,
            ..Units::default()
        };
        entry.reserve(facts, most, most, None).await
    }

    /// Runs one call of three tokens.
    pub(crate) async fn call(&self, caller: &Caller, model: &Arc<CatalogueModel>) -> Result<(), Refusal> {
        let mut reservation = self.admit(caller, model).await?;
        let settled = Settled {
            units: Units {
                prompt_tokens: 1,
                completion_tokens: 2,
                ..Units::default()
            },
            source: UsageSource::Engine,
            status: CallStatus::Complete,
        };
        let (amount, commit) = reservation.settle(&settled).unwrap();
        assert_eq!(amount, Money::from_yuan(3).unwrap());
        assert!(reservation.settle(&settled).is_none(), "settled once");
        commit.await.unwrap();
        Ok(())
    }

    /// Runs one call that costs so much.
    pub(crate) async fn spend(&self, caller: &Caller, model: &Arc<CatalogueModel>, yuan: u64) {
        let entry = self.meter.begin(caller, model).await.unwrap();
        let facts = CallFacts {
            id: RequestId::new(&*self.clock),
            trace: TraceId::generate(&*self.clock),
            started_at: self.clock.now(),
        };
        let units = Units {
            prompt_tokens: yuan,
            ..Units::default()
        };
        let mut reservation = entry.reserve(facts, units, units, None).await.unwrap();
        let settled = Settled {
            units,
            source: UsageSource::Engine,
            status: CallStatus::Complete,
        };
        reservation.settle(&settled).unwrap().1.await.unwrap();
    }

    fn total_yuan(&self, account: AccountId) -> i64 {
        self.platform.balances(account).total().nano() / 1_000_000_000
    }

    async fn ledger_sum(&self, account: AccountId) -> i64 {
        let page = self.platform.ledger(account, None, 1000).await.unwrap();
        page.rows.iter().map(|row| row.amount.nano()).sum::<i64>() / 1_000_000_000
    }
}

fn metric_of(refusal: Result<(), Refusal>) -> Metric {
    match refusal.unwrap_err() {
        Refusal::Limit(limit) => limit.metric,
        other => panic!("refused by {other:?}"),
    }
}

fn limit(change: impl FnOnce(&mut LimitMetrics)) -> LimitMetrics {
    let mut limits = LimitMetrics::default();
    change(&mut limits);
    limits
}

on_each_database! {
    async fn settled_calls_reach_ledger_bill_and_balance_once(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Gift, 4, None).await;
        house.credit(caller.account, BucketKind::Charge, 100, None).await;
        for _ in 0..3 {
            house.call(&caller, &model).await.unwrap();
        }
        assert_eq!(house.total_yuan(caller.account), 95, "before it is applied");
        house.apply().await;
        assert_eq!(house.total_yuan(caller.account), 95, "and after");
        assert_eq!(house.ledger_sum(caller.account).await, 95);
        let range = BillRange::month_of(house.platform.today());
        let bill = house.platform.bill(caller.account, range, BillGrouping::Key).await.unwrap();
        assert_eq!((bill.total.calls, bill.total.gift, bill.total.charge),
            (3, Money::from_yuan(4).unwrap(), Money::from_yuan(5).unwrap()));
        assert_eq!(bill.rows.len(), 1);
        assert!(matches!(bill.rows[0].0, BillSubject::Key { .. }));
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn calls_that_were_not_applied_are_applied_at_the_next_start(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 100, None).await;
        house.call(&caller, &model).await.unwrap();
        house.apply().await;
        house.call(&caller, &model).await.unwrap();
        let reserved = house.admit(&caller, &model).await.unwrap();
        assert_eq!(house.meter.journal().backlog(), 1);
        drop(reserved);
        let house = house.restart(database).await;
        assert_eq!(house.total_yuan(caller.account), 94);
        assert_eq!(house.ledger_sum(caller.account).await, 94);
        let again = house.restart(database).await;
        assert_eq!(again.total_yuan(caller.account), 94);
        assert_eq!(again.meter.audit().await.unwrap(), 0);
    }

    async fn day_limits_and_monthly_caps_survive_a_restart_and_end_with_their_day(database) {
        let house = House::open(database).await;
        let model = house.model(Some(limit(|limits| limits.requests_per_day = Some(2)))).await;
        let caller = house.caller(Some(KeyLimits {
            monthly_spend: Money::from_yuan(11),
            ..KeyLimits::default()
        })).await;
        house.credit(caller.account, BucketKind::Charge, 100, None).await;
        house.call(&caller, &model).await.unwrap();
        house.call(&caller, &model).await.unwrap();
        let house = house.restart(database).await;
        assert_eq!(metric_of(house.call(&caller, &model).await), Metric::Rpd);
        // 11 hours and 59 minutes to midnight.
        house.clock.advance(SignedDuration::from_hours(12) - SignedDuration::from_mins(1));
        assert_eq!(metric_of(house.call(&caller, &model).await), Metric::Rpd);
        house.clock.advance(SignedDuration::from_mins(1));
        // 6 of 11 are spent, and a call may cost 5.
        house.call(&caller, &model).await.unwrap();
        let refused = house.call(&caller, &model).await.unwrap_err();
        assert!(matches!(refused, Refusal::SpendCap(_)), "{refused:?}");
        house.clock.advance(SignedDuration::from_hours(24 * 28));
        house.call(&caller, &model).await.unwrap();
    }

    async fn calls_go_on_when_the_clock_jumps_and_every_row_stays_whole(database) {
        let house = House::open(database).await;
        let model = house.model(Some(limit(|limits| limits.requests_per_minute = Some(7)))).await;
        let caller = house.caller(None).await;
        house.credit(caller.account, BucketKind::Charge, 100, None).await;
        house.call(&caller, &model).await.unwrap();
        // A year ahead, two back, and home again: no window opens and no call is refused for it.
        for hours in [8760, -17_520, 8760] {
            let reservation = house.admit(&caller, &model).await.unwrap();
            house.clock.advance(SignedDuration::from_hours(hours));
            drop(reservation);
            house.call(&caller, &model).await.unwrap_or_else(|refusal| panic!("{hours}: {refusal}"));
            if hours > 0 && house.clock.now() > at(NOON) {
                house.apply().await;
            }
        }
        assert_eq!(metric_of(house.call(&caller, &model).await), Metric::Rpm);
        house.apply().await;
        assert_eq!((house.total_yuan(caller.account), house.ledger_sum(caller.account).await), (88, 88));
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn a_voucher_pays_until_its_end_and_what_it_held_for_a_call_after_it(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        let soon = house.clock.now() + SignedDuration::from_mins(10);
        let later = house.clock.now() + SignedDuration::from_hours(10);
        house.credit(caller.account, BucketKind::Voucher, 20, Some(later)).await;
        house.credit(caller.account, BucketKind::Voucher, 5, Some(soon)).await;
        let mut held = house.admit(&caller, &model).await.unwrap();
        house.clock.advance(SignedDuration::from_mins(11));
        assert_eq!(house.total_yuan(caller.account), 20);
        let settled = Settled {
            units: Units { prompt_tokens: 4, ..Units::default() },
            source: UsageSource::Engine,
            status: CallStatus::Complete,
        };
        held.settle(&settled).unwrap().1.await.unwrap();
        house.call(&caller, &model).await.unwrap();
        house.apply().await;
        assert_eq!(house.total_yuan(caller.account), 17);
        assert_eq!(house.ledger_sum(caller.account).await, 18, "the ended one keeps 1 until it is closed");
        assert_eq!(house.meter.audit().await.unwrap(), 0);
    }

    async fn a_call_pays_the_price_of_its_admission(database) {
        let house = House::open(database).await;
        let (model, caller) = (house.model(None).await, house.caller(None).await);
        house.credit(caller.account, BucketKind::Charge, 100, None).await;
        let mut held = house.admit(&caller, &model).await.unwrap();
        let mut dearer = NewModel::new(ModelName::new("m").unwrap(), SubType::Chat);
        dearer.price.input = Some("900000".parse().unwrap());
        house.platform.put_model(dearer).await.unwrap();
        let settled = Settled {
            units: Units { prompt_tokens: 1, ..Units::default() },
            source: UsageSource::Engine,
            status: CallStatus::Complete,
        };
        let (amount, commit) = held.settle(&settled).unwrap();
        commit.await.unwrap();
        assert_eq!(amount, Money::from_yuan(1).unwrap());
    }
}
