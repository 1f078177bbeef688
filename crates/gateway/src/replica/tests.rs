//! The choice among replicas, without engines.

use std::collections::HashMap;

use jiff::Timestamp;
use silica_engine::{
    AnswerForm, ChatRequest, Continuation, Message, Priority, Role, Sampling, Thinking, ToolChoice,
};
use silica_platform::EngineKind;
use silica_types::TokenCount;

use super::*;

fn spec(name: &str, weight: u32) -> ReplicaSpec {
    ReplicaSpec {
        engine: EngineKind::OpenAi,
        path: None,
        adapter: None,
        quantize: None,
        url: Some(format!("http://{name}.example/v1")),
        api_key: None,
        upstream_model: None,
        allow_private: false,
        weight,
        max_concurrency: None,
        drain: false,
        continuous_usage: false,
        health_path: None,
        connect_timeout_ms: None,
        first_token_timeout_ms: None,
        stall_timeout_ms: None,
    }
}

fn loaded(policy: RoutingPolicy, specs: Vec<ReplicaSpec>) -> Loaded {
    let seeds = specs.iter().map(|_| ReplicaSeed {
        engines: Engines::default(),
        slot: Arc::default(),
    });
    let seeds = seeds.collect();
    let deployment = Deployment {
        name: "d".to_owned(),
        models: Vec::new(),
        policy,
        replicas: specs,
        fallbacks: Vec::new(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    };
    Loaded::new(deployment, seeds)
}

fn even(policy: RoutingPolicy, replicas: usize) -> Loaded {
    let specs = (0..replicas).map(|number| spec(&number.to_string(), 1));
    loaded(policy, specs.collect())
}

impl Loaded {
    /// A seat for a call that has tried nothing.
    fn take(&self) -> Seat {
        self.seat(&Tried::default(), None).ok().unwrap()
    }

    /// A seat for a conversation.
    fn take_for(&self, prefix: Prefix) -> Seat {
        self.seat(&Tried::default(), Some(prefix)).ok().unwrap()
    }

    fn running(&self) -> Vec<u64> {
        self.replicas.iter().map(|replica| replica.running()).collect()
    }
}

/// A conversation of these messages, turn by turn: system, user, assistant, user, ...
fn chat(texts: &[&str]) -> ChatRequest {
    let roles = [Role::System]
        .into_iter()
        .chain([Role::User, Role::Assistant].into_iter().cycle());
    let message = |(role, text): (Role, &&str)| Message {
        role,
        content: (*text).to_owned(),
        ..Message::default()
    };
    ChatRequest {
        messages: roles.zip(texts).map(message).collect(),
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_calls: true,
        form: AnswerForm::Text,
        continuation: Continuation::None,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(16),
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        thinking: Thinking::default(),
        demands: Vec::new(),
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: None,
    }
}

fn conversation(number: u32) -> Prefix {
    Prefix::of(&chat(&["You are kind.", &format!("Question {number}?")]))
}

#[test]
fn least_busy_spreads_concurrent_calls_by_weight() {
    let specs = vec![spec("a", 1), spec("b", 1), spec("c", 2)];
    let loaded = loaded(RoutingPolicy::LeastBusy, specs);
    let mut seats: Vec<Seat> = (0..400).map(|_| loaded.take()).collect();
    assert_eq!(loaded.running(), [100, 100, 200]);
    // Calls that end on one replica make room for the next ones there.
    seats.retain(|seat| seat.replica.position != 0);
    seats.extend((0..100).map(|_| loaded.take()));
    assert_eq!(loaded.running(), [100, 100, 200]);
    drop(seats);
    assert_eq!(loaded.running(), [0, 0, 0]);
}

#[test]
fn least_busy_never_runs_more_than_one_call_apart_on_equal_replicas() {
    let loaded = even(RoutingPolicy::LeastBusy, 5);
    let mut seats = Vec::new();
    for step in 0..1000 {
        seats.push(loaded.take());
        if step % 3 == 0 {
            let busiest = loaded.running().into_iter().max().unwrap();
            let ends = |seat: &Seat| seat.replica.running() == busiest;
            let index = seats.iter().position(ends).unwrap();
            drop(seats.swap_remove(index));
        }
        let running = loaded.running();
        assert!(running.iter().max().unwrap() - running.iter().min().unwrap() <= 1);
    }
}

#[test]
fn caps_hold_and_a_full_deployment_has_no_seat() {
    let capped = ReplicaSpec {
        max_concurrency: Some(2),
        ..spec("a", 1)
    };
    let loaded = loaded(RoutingPolicy::RoundRobin, vec![capped.clone(), capped]);
    let seats: Vec<Seat> = (0..4).map(|_| loaded.take()).collect();
    assert_eq!(loaded.running(), [2, 2]);
    let none = loaded.seat(&Tried::default(), None).err();
    assert_eq!(none, Some(NoSeat::Full));
    drop(seats);
    assert_eq!(loaded.take().replica.position, 0);
}

#[test]
fn caps_hold_however_many_threads_take_seats() {
    let capped = |name| ReplicaSpec {
        max_concurrency: Some(3),
        ..spec(name, 1)
    };
    let loaded = loaded(RoutingPolicy::LeastBusy, vec![capped("a"), capped("b")]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let seat = loaded.seat(&Tried::default(), None);
                    assert!(loaded.running().iter().all(|running| *running <= 3));
                    drop(seat);
                }
            });
        }
    });
    assert_eq!(loaded.running(), [0, 0]);
    let seats: Vec<Seat> = (0..6).map(|_| loaded.take()).collect();
    assert_eq!(loaded.running(), [3, 3]);
    drop(seats);
}

#[test]
fn a_share_of_a_replica_that_is_out_goes_to_the_others_by_weight() {
    let mut specs = vec![spec("a", 1), spec("b", 2), spec("c", 3)];
    specs[2].drain = true;
    let loaded = loaded(RoutingPolicy::Weighted, specs);
    let mut taken = [0; 3];
    for _ in 0..30 {
        taken[loaded.take().replica.position] += 1;
    }
    assert_eq!(taken, [10, 20, 0]);
}

#[test]
fn a_growing_conversation_keeps_its_replica() {
    let loaded = even(RoutingPolicy::PrefixAffinity, 8);
    let long = "word ".repeat(3000);
    for beginning in 0..100 {
        let first = format!("Question {beginning}?");
        let mut texts = vec!["You are kind.", first.as_str()];
        let home = loaded.take_for(Prefix::of(&chat(&texts))).replica.position;
        for _ in 0..6 {
            texts.push(&long);
            let seat = loaded.take_for(Prefix::of(&chat(&texts)));
            assert_eq!(seat.replica.position, home, "{beginning}");
        }
    }
}

#[test]
fn only_the_beginning_of_a_text_is_hashed() {
    let text = |text: &str| ChatRequest {
        continuation: Continuation::Text(text.to_owned()),
        ..chat(&[])
    };
    let beginning = "x".repeat(1024);
    let longer = format!("{beginning} and much more");
    assert_eq!(Prefix::of(&text(&beginning)), Prefix::of(&text(&longer)));
    assert_ne!(Prefix::of(&text("one")), Prefix::of(&text("two")));
    let system = "x".repeat(4096);
    assert_eq!(
        Prefix::of(&chat(&[&system, "one"])),
        Prefix::of(&chat(&[&system, "two"])),
        "who shares a long system prompt shares its cache"
    );
}

#[test]
fn conversations_spread_by_weight() {
    let specs = vec![spec("a", 1), spec("b", 1), spec("c", 2)];
    let loaded = loaded(RoutingPolicy::PrefixAffinity, specs);
    let mut homes = [0_u32; 3];
    for number in 0..4000 {
        homes[loaded.take_for(conversation(number)).replica.position] += 1;
    }
    assert!(homes[0].abs_diff(1000) < 120, "{homes:?}");
    assert!(homes[1].abs_diff(1000) < 120, "{homes:?}");
    assert!(homes[2].abs_diff(2000) < 150, "{homes:?}");
}

#[test]
fn a_prefix_that_everybody_shares_spills_over_within_the_bound() {
    let loaded = even(RoutingPolicy::PrefixAffinity, 4);
    let mut seats = Vec::new();
    for calls in 1..=400_u64 {
        seats.push(loaded.take_for(conversation(1)));
        let most = loaded.running().into_iter().max().unwrap();
        assert!(most <= (calls * 5).div_ceil(16), "{most} of {calls} on one");
    }
    assert!(loaded.running().into_iter().min().unwrap() > 0);
    let home = seats[0].replica.position;
    drop(seats);
    assert_eq!(loaded.take_for(conversation(1)).replica.position, home);
}

#[test]
fn a_replica_that_goes_moves_only_its_own_conversations() {
    let before = even(RoutingPolicy::PrefixAffinity, 5);
    let mut specs = before.deployment.replicas.clone();
    specs.remove(2);
    let after = loaded(RoutingPolicy::PrefixAffinity, specs);
    let url = |seat: &Seat, loaded: &Loaded| loaded.deployment.replicas[seat.replica.position].url.clone();
    let (mut moved, mut new_homes) = (0, HashMap::new());
    for number in 0..2000 {
        let (left, right) = (
            before.take_for(conversation(number)),
            after.take_for(conversation(number)),
        );
        if left.replica.position == 2 {
            moved += 1;
            *new_homes.entry(url(&right, &after)).or_insert(0) += 1;
        } else {
            assert_eq!(url(&left, &before), url(&right, &after));
        }
    }
    assert!((300..500).contains(&moved), "a fifth: {moved}");
    assert_eq!(new_homes.len(), 4, "shared out among all that are left");
}

#[test]
fn an_ill_replica_is_the_last_resort_and_a_drained_one_none() {
    let mut specs = vec![spec("a", 1), spec("b", 1)];
    specs[1].drain = true;
    let loaded = loaded(RoutingPolicy::LeastBusy, specs);
    loaded.replicas[0]
        .condition()
        .set_health(crate::Health::Unhealthy);
    let seat = loaded.take();
    assert_eq!(seat.replica.position, 0);
    let mut tried = Tried::default();
    tried.add(&seat);
    assert_eq!(loaded.seat(&tried, None).err(), Some(NoSeat::Full));
}

#[tokio::test(start_paused = true)]
async fn half_of_the_replicas_at_most_are_ejected_at_once() {
    let loaded = even(RoutingPolicy::LeastBusy, 5);
    for replica in &loaded.replicas {
        for _ in 0..100 {
            let seat = replica.try_seat(false).unwrap();
            seat.succeeded();
            seat.broke();
        }
    }
    let ejected = |loaded: &Loaded| {
        let states = loaded.states();
        let is_ejected = |state: &&ReplicaState| state.ejected_for.is_some();
        states.iter().filter(is_ejected).count()
    };
    assert_eq!(ejected(&loaded), 2);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(ejected(&loaded), 0);
    let alone = even(RoutingPolicy::LeastBusy, 1);
    for _ in 0..100 {
        alone.take().broke();
    }
    assert_eq!(ejected(&alone), 0, "one stays");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_limits_its_calls_is_left_alone_until_it_said() {
    let loaded = even(RoutingPolicy::LeastBusy, 2);
    let limit = |position: usize, retry_after| {
        let seat = loaded.replicas[position].try_seat(false).unwrap();
        seat.failed(&EngineError::RateLimited { retry_after });
    };
    limit(0, Some(Duration::from_secs(7)));
    assert_eq!(loaded.take().replica.position, 1);
    limit(1, None);
    let soonest = Duration::from_secs(1);
    let cooling = |loaded: &Loaded| loaded.seat(&Tried::default(), None).err();
    assert_eq!(cooling(&loaded), Some(NoSeat::Cooling(soonest)));
    tokio::time::advance(soonest).await;
    assert_eq!(loaded.take().replica.position, 1);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(loaded.take().replica.position, 0);
    limit(0, Some(Duration::from_hours(1)));
    let left = loaded.states()[0].cooling_for;
    assert_eq!(
        left,
        Some(Duration::from_mins(5)),
        "no word keeps it away for longer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_trial_takes_one_call_and_the_others_go_elsewhere() {
    let loaded = even(RoutingPolicy::LeastBusy, 2);
    for _ in 0..3 {
        loaded.replicas[0].try_seat(false).unwrap().broke();
    }
    let take_four = |loaded: &Loaded| (0..4).map(|_| loaded.take()).collect::<Vec<Seat>>();
    let positions = |seats: &[Seat]| -> Vec<_> { seats.iter().map(|seat| seat.replica.position).collect() };
    assert_eq!(positions(&take_four(&loaded)), [1, 1, 1, 1]);
    tokio::time::advance(Duration::from_secs(1)).await;
    let seats = take_four(&loaded);
    assert_eq!(positions(&seats), [0, 1, 1, 1]);
    assert_eq!(loaded.states()[0].breaker, crate::BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_its_account_cannot_pay_makes_way_for_the_next() {
    let loaded = even(RoutingPolicy::LeastBusy, 2);
    for _ in 0..3 {
        loaded.replicas[0].try_seat(false).unwrap().broke();
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let trial = loaded.take();
    assert_eq!(trial.replica.position, 0);
    // Given back without a word about the engine.
    drop(trial);
    let next = loaded.take();
    assert_eq!(next.replica.position, 0, "another one tries at once");
    next.succeeded();
    assert_eq!(loaded.states()[0].breaker, crate::BreakerState::Closed);
}
