//! Adapters in an engine: many in a batch, with drafts, with what was computed before, and their memory.

use super::*;

fn engine(name: &str, options: CandleOptions) -> Arc<CandleEngine> {
    let options = CandleOptions {
        threads: Some(2),
        kv_cache_mb: 4,
        ..options
    };
    Arc::new(CandleEngine::load(&fixture(name), options).unwrap())
}

pub(super) fn request(prompt: &[u32], seed: u64) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_vec(),
        sampling: Sampling {
            temperature: 0.8,
            seed: Some(seed),
            ..Sampling::greedy()
        },
        max_tokens: TokenCount(40),
        stop_tokens: Vec::new(),
        logprobs: Some(0),
        span_limit: None,
        constraint: None,
        priority: Priority::default(),
        account: None,
    }
}

/// The tokens with their log-probabilities, bit by bit, and how much of the prompt was found.
pub(super) fn answered(stream: GenerateStream) -> (Vec<(u32, u32)>, u32) {
    let mut found = 0;
    let mut tokens = Vec::new();
    let events = block_on(stream.collect::<Vec<_>>());
    for event in &events {
        match event {
            GenerateEvent::Started { cached } => found = cached.get(),
            GenerateEvent::Token { id, logprob } => {
                tokens.push((*id, logprob.as_ref().unwrap().logprob.to_bits()));
            }
            _ => {}
        }
    }
    assert!(
        matches!(events.last(), Some(GenerateEvent::Finished(_))),
        "{events:?}"
    );
    (tokens, found)
}

/// Sequences of eight adapters and of none, some with the same adapter, answer as each alone.
#[test]
fn many_adapters_in_a_batch_answer_as_each_alone() {
    for (format, base, dtype, quantize) in FORMATS {
        let options = CandleOptions {
            dtype,
            quantize,
            ..CandleOptions::default()
        };
        assert_format(format, base, &options);
        assert_batched_is_alone(base, &options);
    }
}

fn assert_batched_is_alone(model: &str, options: &CandleOptions) {
    let ranks = [1, 2, 3, 4, 5, 8, 16, 33];
    let folders: Vec<TempDir> = (0..)
        .zip(ranks)
        .map(|(seed, rank)| {
            let modules = &MODULES[seed as usize % 3..];
            Made::new(model, modules, 50 + seed, |_, _| rank)
                .set("r", json!(rank))
                .written()
        })
        .collect();
    let loaded = |places, speculation| {
        let options = CandleOptions {
            max_sequences: places,
            speculation,
            ..options.clone()
        };
        let base = engine(model, options);
        let adapted = folders
            .iter()
            .map(|folder| AdaptedEngine::load(Arc::clone(&base), folder.path()).unwrap());
        let mut engines: Vec<Box<dyn TokenEngine>> = adapted
            .map(|engine| -> Box<dyn TokenEngine> { Box::new(engine) })
            .collect();
        engines.push(Box::new(base));
        engines
    };
    let (together, alone) = (loaded(32, Speculation::Auto), loaded(1, Speculation::Off));
    let prompt = tokens();
    let asked: Vec<_> = (0..27)
        .map(|index| (index * 5 % 9, request(&prompt[..=index * 2], index as u64 / 9)))
        .collect();
    let streams: Vec<_> = asked
        .iter()
        .map(|(engine, request)| together[*engine].generate(request.clone()).unwrap())
        .collect();
    let mut answers = Vec::new();
    for ((engine, request), stream) in asked.iter().zip(streams) {
        let (batched, _) = answered(stream);
        let (single, _) = answered(alone[*engine].generate(request.clone()).unwrap());
        assert_eq!(batched, single, "{model}, {options:?}: adapter {engine}");
        answers.push(batched);
    }
    answers.sort();
    answers.dedup();
    assert!(answers.len() > 20, "adapters change answers");
}

/// Adapted answers of prompts that repeat themselves, and how many drafted tokens came.
fn repeated(base: &str, folders: &[TempDir], options: CandleOptions) -> (Vec<Vec<(u32, u32)>>, u64) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let base = metrics::with_local_recorder(&recorder, || engine(base, options));
    let adapted: Vec<_> = folders
        .iter()
        .map(|folder| AdaptedEngine::load(Arc::clone(&base), folder.path()).unwrap())
        .collect();
    let streams: Vec<_> = (0..9)
        .map(|index| {
            let mut request = request(&tokens()[index..index + 7].repeat(8), index as u64);
            request.sampling.temperature = [0.0, 0.1, 0.8][index % 3];
            request.max_tokens = TokenCount(80);
            adapted[index % adapted.len()].generate(request).unwrap()
        })
        .collect();
    let answers = streams.into_iter().map(|stream| answered(stream).0).collect();
    drop((adapted, base));
    let page = metrics.render();
    let line = page.lines().find(|line| line.contains("result=\"accepted\""));
    let accepted = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    (answers, accepted.unwrap_or_default())
}

#[test]
fn drafts_change_no_bit_of_an_adapted_answer() {
    for (format, base, dtype, quantize) in FORMATS {
        let folders = [21, 22, 23].map(|seed| Made::all(base, seed).written());
        let options = |speculation| CandleOptions {
            dtype,
            quantize,
            speculation,
            ..CandleOptions::default()
        };
        assert_format(format, base, &options(Speculation::Off));
        let (plain, none) = repeated(base, &folders, options(Speculation::Off));
        let (drafted, some) = repeated(base, &folders, options(Speculation::Auto));
        assert_eq!(drafted, plain, "{format}");
        assert!(none == 0 && some > 10, "{format}: {some} drafted tokens came");
    }
}

#[test]
fn what_was_computed_with_one_adapter_is_not_found_with_another() {
    for (format, base, dtype, quantize) in FORMATS {
        let options = CandleOptions {
            dtype,
            quantize,
            ..CandleOptions::default()
        };
        assert_format(format, base, &options);
        let folders = [Made::all(base, 7).written(), Made::all(base, 8).written()];
        let base = engine(base, options);
        let adapted = folders
            .each_ref()
            .map(|folder| AdaptedEngine::load(Arc::clone(&base), folder.path()).unwrap());
        let engines: [&dyn TokenEngine; 3] = [&base, &adapted[0], &adapted[1]];
        let first = engines.map(|engine| answered(engine.generate(request(&tokens(), 1)).unwrap()));
        assert!(first.iter().all(|(_, found)| *found == 0), "{format}");
        let second = engines.map(|engine| answered(engine.generate(request(&tokens(), 1)).unwrap()));
        for ((first, _), (second, found)) in first.iter().zip(&second) {
            assert_eq!(first, second, "{format}");
            assert_eq!(*found, 48, "{format}");
        }
        // Loaded again it is another adapter.
        let again = AdaptedEngine::load(Arc::clone(&base), folders[0].path()).unwrap();
        assert_eq!(
            answered(again.generate(request(&tokens(), 1)).unwrap()).1,
            0,
            "{format}"
        );
    }
}

#[test]
fn the_memory_of_adapters_is_bounded_and_free_again_when_they_are_gone() {
    // More than two MiB.
    let large = Made::new("qwen3", &MODULES, 9, |_, _| 400)
        .set("r", json!(400))
        .written();
    let options = CandleOptions {
        adapters_mb: 3,
        ..CandleOptions::default()
    };
    let base = engine("qwen3", options);
    let load = || AdaptedEngine::load(Arc::clone(&base), large.path());
    let first = load().unwrap();
    let refused = load().err().unwrap();
    assert!(matches!(refused, LoadError::Adapters { .. }), "{refused}");
    let stream = first.generate(request(&tokens(), 1)).unwrap();
    drop(first);
    answered(stream);
    // The engine lets go of a sequence a moment after its last event.
    assert!((0..1000).any(|_| {
        std::thread::yield_now();
        load().is_ok()
    }));
}
