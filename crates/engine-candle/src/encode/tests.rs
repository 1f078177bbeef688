use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;
use silica_engine::{EncodeEngine, EncodeRequest, EngineError, Says, TokenSequence, VectorShape};
use silica_types::TokenCount;

use super::CandleEncoder;
use super::reader::{Item, ModelError, SequenceModel};
use crate::CandleOptions;

/// Says of a sequence how many tokens it has and which is the first; tells of each pass, and waits for
/// leave to go on.
struct Scripted {
    passes: Mutex<Sender<Vec<usize>>>,
    leave: Mutex<Receiver<()>>,
}

/// The first token of a sequence that makes the model fail, or panic, or say something that is no number.
const FAILS: u32 = 90;
const PANICS: u32 = 91;
const NO_NUMBER: u32 = 92;

impl SequenceModel for Scripted {
    fn context_length(&self) -> u32 {
        1000
    }

    fn vocabulary_size(&self) -> u32 {
        100
    }

    fn says(&self) -> Says {
        Says::Vector(VectorShape {
            width: 2,
            normalised: false,
            nested: false,
        })
    }

    fn compute(
        &self,
        items: &[Item<'_>],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        let lengths = items.iter().map(|item| item.sequence.tokens.len());
        self.passes.lock().unwrap().send(lengths.collect()).unwrap();
        self.leave.lock().unwrap().recv().unwrap();
        if !goes_on() {
            return Ok(None);
        }
        let answer = |item: &Item<'_>| -> Result<Vec<f32>, ModelError> {
            let length = u16::try_from(item.sequence.tokens.len())?;
            match item.sequence.tokens[0] {
                FAILS => Err("it fails".into()),
                PANICS => panic!("it panics"),
                NO_NUMBER => Ok(vec![f32::NAN, 0.0]),
                first => Ok(vec![f32::from(length), f32::from(u16::try_from(first)?)]),
            }
        };
        items.iter().map(answer).collect::<Result<_, _>>().map(Some)
    }
}

struct World {
    engine: CandleEncoder,
    passes: Receiver<Vec<usize>>,
    leave: Sender<()>,
}

fn world(change: impl FnOnce(&mut CandleOptions)) -> World {
    let (tells, passes) = channel();
    let (leave, waits) = channel();
    let model = Scripted {
        passes: Mutex::new(tells),
        leave: Mutex::new(waits),
    };
    let mut options = CandleOptions {
        threads: Some(1),
        ..CandleOptions::default()
    };
    change(&mut options);
    World {
        engine: CandleEncoder::start(model, options).unwrap(),
        passes,
        leave,
    }
}

impl World {
    fn next_pass(&self) -> Vec<usize> {
        self.passes.recv_timeout(Duration::from_mins(1)).unwrap()
    }

    fn go_on(&self, passes: usize) {
        for _ in 0..passes {
            self.leave.send(()).unwrap();
        }
    }
}

/// Sequences of these lengths that begin with these tokens.
fn request(sequences: &[(usize, u32)]) -> EncodeRequest {
    let sequence = |(length, token): &(usize, u32)| TokenSequence {
        tokens: vec![*token; *length],
        second: None,
    };
    EncodeRequest {
        sequences: sequences.iter().map(sequence).collect(),
        choice: None,
    }
}

#[test]
fn answers_come_in_the_order_of_the_sequences() {
    let world = world(|_| {});
    let encoding = world.engine.encode(request(&[(30, 3), (2, 1), (7, 2)])).unwrap();
    assert_eq!(world.next_pass(), [2, 7, 30], "the shortest first");
    world.go_on(1);
    assert_eq!(block_on(encoding).unwrap(), [[30.0, 3.0], [2.0, 1.0], [7.0, 2.0]]);
}

#[test]
fn a_pass_takes_of_all_requests_what_fits() {
    let world = world(|_| {});
    let first = world.engine.encode(request(&[(1, 0)])).unwrap();
    assert_eq!(world.next_pass(), [1]);
    // These come while the engine is busy, so they are there together when it looks again.
    let long = world
        .engine
        .encode(request(&[(200, 1), (400, 1), (600, 1)]))
        .unwrap();
    let short = world
        .engine
        .encode(request(&[(10, 2), (20, 2), (30, 2)]))
        .unwrap();
    world.go_on(1);
    assert_eq!(world.next_pass(), [200, 10, 20, 30], "400 more would be too many");
    world.go_on(1);
    assert_eq!(world.next_pass(), [400], "600 more would be too many");
    world.go_on(1);
    assert_eq!(world.next_pass(), [600], "alone, for it is longer than a pass");
    world.go_on(1);
    for encoding in [first, short, long] {
        assert!(block_on(encoding).is_ok());
    }
}

#[test]
fn a_full_queue_refuses_and_a_request_that_is_given_up_makes_room() {
    let world = world(|options| {
        options.max_waiting = 1;
        options.max_sequences = 1;
    });
    let running = world.engine.encode(request(&[(1, 0)])).unwrap();
    world.next_pass();
    let waiting = world.engine.encode(request(&[(2, 0)])).unwrap();
    let refused = world.engine.encode(request(&[(3, 0)])).unwrap_err();
    assert!(matches!(refused, EngineError::QueueFull), "{refused}");
    drop(waiting);
    let instead = world.engine.encode(request(&[(4, 0)])).unwrap();
    world.go_on(2);
    assert_eq!(world.next_pass(), [4], "what was given up is not computed");
    assert_eq!(block_on(instead).unwrap(), [[4.0, 0.0]]);
    assert!(block_on(running).is_ok());
}

#[test]
fn a_request_that_waits_too_long_is_told_so() {
    let world = world(|options| {
        options.max_wait = Duration::ZERO;
        options.max_sequences = 1;
    });
    let waiting = world.engine.encode(request(&[(2, 0)])).unwrap();
    let refused = block_on(waiting).unwrap_err();
    assert!(matches!(refused, EngineError::QueueFull), "{refused}");
}

#[test]
fn a_request_that_is_given_up_stops_within_its_pass() {
    let world = world(|_| {});
    let given_up = world.engine.encode(request(&[(600, 1), (700, 1)])).unwrap();
    assert_eq!(world.next_pass(), [600]);
    drop(given_up);
    let next = world.engine.encode(request(&[(5, 1)])).unwrap();
    world.go_on(2);
    assert_eq!(
        world.next_pass(),
        [5],
        "the second sequence of the first request is not computed"
    );
    assert_eq!(block_on(next).unwrap(), [[5.0, 1.0]]);
}

#[test]
fn whoever_fails_takes_nobody_along() {
    let world = world(|_| {});
    let first = world.engine.encode(request(&[(1, 0)])).unwrap();
    world.next_pass();
    let good = world.engine.encode(request(&[(2, 0)])).unwrap();
    let bad = [FAILS, PANICS, NO_NUMBER].map(|token| world.engine.encode(request(&[(3, token)])).unwrap());
    // The first, the one that fails, and each of its four alone.
    world.go_on(6);
    assert!(block_on(first).is_ok());
    assert_eq!(block_on(good).unwrap(), [[2.0, 0.0]]);
    for encoding in bad {
        let failed = block_on(encoding).unwrap_err();
        assert!(matches!(failed, EngineError::Failed(_)), "{failed}");
    }
}

#[test]
fn what_cannot_be_computed_is_refused_at_once() {
    let world = world(|_| {});
    let refused = |request| world.engine.encode(request).unwrap_err();
    let EngineError::ContextExceeded { prompt, limit } = refused(request(&[(3, 0), (1001, 0)])) else {
        panic!("a sequence that is too long")
    };
    assert_eq!((prompt, limit), (TokenCount(1001), TokenCount(1000)));
    for bad in [request(&[]), request(&[(0, 0)]), request(&[(1, 100)])] {
        assert!(matches!(refused(bad), EngineError::InvalidRequest(_)));
    }
}

#[test]
fn an_engine_that_is_dropped_tells_those_who_wait() {
    let World {
        engine,
        passes,
        leave,
    } = world(|options| options.max_sequences = 1);
    let engine = Arc::new(engine);
    let running = engine.encode(request(&[(1, 0)])).unwrap();
    passes.recv().unwrap();
    let waiting = engine.encode(request(&[(1, 0)])).unwrap();
    drop(engine);
    leave.send(()).unwrap();
    for encoding in [running, waiting] {
        let told = block_on(encoding).unwrap_err();
        assert!(matches!(told, EngineError::Unavailable), "{told}");
    }
}
