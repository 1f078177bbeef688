//! The windows in Redis beside those in memory: the same calls, the same clock, the same answers.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; the exemption of clippy.toml covers test functions only"
)]

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use silica_billing::{
    BillingDay, LimitCounters, LimitSet, MemoryCounters, Metric, Moment, Need, Scope, Subject, Taken,
};
use silica_cluster::{ClusterOptions, Correction, Finish, Link, Member, Order, Verdict};
use silica_testkit::OwnRedis;
use silica_types::{AccountId, ApiKeyId, ModelName, Money, Secret, SystemClock};

/// Midnight of the first day, in milliseconds: nobody counts from zero.
const START: u64 = 1_700_000_000_000;
const DAY: u64 = 86_400_000;

/// One step of a run.
#[derive(Debug, Clone)]
enum Step {
    /// Time goes on by so many milliseconds.
    Wait(u64),
    /// A call begins with such a need.
    Call(u64, u64),
    /// The call that has run longest ends, having used so many tokens and images.
    End(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![0..3_000_u64, 0..90_000_u64, 0..4_000_000_u64, 0..DAY * 3];
    let step = prop_oneof![
        3 => wait.prop_map(Step::Wait),
        5 => (0..60_u64, 0..4_u64).prop_map(|(tokens, images)| Step::Call(tokens, images)),
        4 => (0..200_u64, 0..4_u64).prop_map(|(tokens, images)| Step::End(tokens, images)),
    ];
    prop::collection::vec(step, 1..40)
}

fn limits() -> impl Strategy<Value = LimitSet> {
    let limit = || prop::option::weighted(0.6, 0..60_u64);
    prop::collection::vec(limit(), 7).prop_map(|limits| {
        let metrics = Metric::ALL.iter().zip(limits);
        metrics.fold(LimitSet::NONE, |set, (metric, limit)| set.with(*metric, limit))
    })
}

/// Both sides of one run.
struct Pair {
    member: Member,
    memory: MemoryCounters,
    scopes: Vec<Scope>,
    key: ApiKeyId,
    now: u64,
    running: Vec<(Vec<silica_billing::TakenPart>, Taken)>,
}

impl Pair {
    fn at(&self) -> Moment {
        let passed = self.now - START;
        let date =
            jiff::civil::date(2025, 2, 13) + jiff::Span::new().days(i64::try_from(passed / DAY).unwrap());
        Moment {
            monotonic: Duration::from_millis(self.now),
            day: BillingDay::from_date(date),
            until_midnight: Duration::from_millis(DAY - passed % DAY),
        }
    }

    async fn call(&mut self, need: Need) {
        let at = self.at();
        let expected = match self.memory.begin(&self.scopes, at).await {
            Ok(()) => self.memory.take(&self.scopes, need, at).await,
            Err(refusal) => Err(refusal),
        };
        let order = Order {
            account: AccountId::new(&SystemClock),
            key: self.key,
            buckets: &[],
            amount: Money::ZERO,
            cap: None,
            scopes: &self.scopes,
            need,
            at,
        };
        match (self.member.admit(&order).await.unwrap(), expected) {
            (Verdict::Granted(grant), Ok(taken)) => {
                let amounts = |parts: &[silica_billing::TakenPart]| -> Vec<_> {
                    parts
                        .iter()
                        .map(|part| (part.subject.clone(), part.metric, part.limit, part.amount))
                        .collect()
                };
                assert_eq!(amounts(&grant.taken), amounts(&taken.parts));
                let standing = self.memory.standing(&self.scopes[0], at).await;
                let left = |standing: &[silica_billing::Standing]| -> Vec<_> {
                    standing
                        .iter()
                        .map(|one| (one.metric, one.limit, one.remaining))
                        .collect()
                };
                assert_eq!(left(&grant.standings), left(&standing));
                for (there, here) in grant.standings.iter().zip(&standing) {
                    assert!(there.reset >= here.reset, "{there:?} {here:?}");
                }
                self.running.push((grant.taken, taken));
            }
            (Verdict::Limit(refusal), Err(expected)) => assert_eq!(refusal, expected),
            (verdict, expected) => panic!("{verdict:?} and not {expected:?}"),
        }
    }

    async fn end(&mut self, used: Need) {
        if self.running.is_empty() {
            return;
        }
        let (there, here) = self.running.remove(0);
        let at = self.at();
        self.memory.correct(here, used, at);
        let corrections = there.into_iter().map(|taken| Correction {
            used: used.of(taken.metric.counted()),
            taken,
        });
        let finish = Finish {
            account: AccountId::new(&SystemClock),
            key: self.key,
            cap_held: None,
            cap_paid: Money::ZERO,
            held: Vec::new(),
            paid: Vec::new(),
            corrections: corrections.collect(),
            at,
        };
        assert!(self.member.finish(&finish).await.unwrap());
    }
}

async fn run(link: &Link, options: &ClusterOptions, scopes: Vec<Scope>, key: ApiKeyId, steps: Vec<Step>) {
    let epoch = link.open_epoch().await.unwrap().unwrap();
    let mut pair = Pair {
        member: Member::join(link, &epoch, options, &[], &[], &[]).await.unwrap(),
        memory: MemoryCounters::new(),
        scopes,
        key,
        now: START,
        running: Vec::new(),
    };
    for step in steps {
        match step {
            Step::Wait(time) => pair.now += time,
            Step::Call(tokens, images) => {
                pair.member = pair.member.at_time(pair.now);
                pair.call(Need { tokens, images }).await;
            }
            Step::End(tokens, images) => {
                pair.member = pair.member.at_time(pair.now);
                pair.end(Need { tokens, images }).await;
            }
        }
    }
}

#[test]
fn windows_in_redis_answer_as_those_in_memory_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(OwnRedis::start());
    let options = ClusterOptions {
        url: Secret::new(redis.url()),
        namespace: "windows".to_owned(),
        node: silica_types::new_uuid(&SystemClock),
        timeout: Duration::from_secs(10),
        member_timeout: Duration::from_mins(1),
        forget_after: Duration::from_mins(1),
    };
    let link = runtime.block_on(async {
        let link = Link::connect(&options).await.unwrap();
        let epoch = link.propose_epoch().await.unwrap();
        assert!(link.open(&epoch).await.unwrap());
        link
    });
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (limits(), limits(), steps());
    let outcome = runner.run(&cases, |(of_model, of_key, steps)| {
        let key = ApiKeyId::new(&SystemClock);
        let model = Subject::Model {
            account: AccountId::new(&SystemClock),
            model: ModelName::new("a/b").unwrap(),
        };
        let scope = |subject, limits| Scope { subject, limits };
        let scopes = vec![scope(model, of_model), scope(Subject::Key(key), of_key)];
        runtime.block_on(run(&link, &options, scopes, key, steps));
        Ok(())
    });
    outcome.unwrap();
}
