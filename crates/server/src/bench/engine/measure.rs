//! Requests to the engine, and when their tokens came.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::stream::select_all;
use silica_engine::{GenerateEvent, GenerateRequest, GenerateStream, Priority, Sampling, TokenEngine};
use silica_types::TokenCount;

use super::prompt::prompt;

/// Tokens of a prompt that follow what it shares with another one.
const TAIL: u32 = 16;

/// An engine under measurement.
pub(super) struct Session<E> {
    engine: E,
    /// The number of the next prompt: each is asked once.
    next: u32,
}

/// Times to the first token of two prompts that begin alike, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstTokens {
    /// Of the first one: nothing of it was known.
    pub(super) cold: Duration,
    /// Of the second one.
    pub(super) shared: Duration,
    /// Tokens of the second one that were not computed again.
    pub(super) cached: u32,
}

impl<E: TokenEngine> Session<E> {
    pub(super) fn new(engine: E) -> Self {
        Self { engine, next: 1 }
    }

    /// One sequence: tokens per second of its prompt, up to its first token, and of the `decode`
    /// tokens after it.
    pub(super) async fn alone(&mut self, length: u32, decode: u32) -> anyhow::Result<(f64, f64)> {
        let prompt = self.prompt(length);
        let started = Instant::now();
        let times = Times::of(self.ask(prompt, decode + 1)?).await?;
        let first = times.tokens.first().context("the engine produced no token")?;
        let prefill = f64::from(length) / first.duration_since(started).as_secs_f64();
        Ok((prefill, times.rate()?))
    }

    /// Many sequences at once: tokens per second of all together, while all are generating.
    pub(super) async fn together(
        &mut self,
        sequences: usize,
        length: u32,
        decode: u32,
    ) -> anyhow::Result<f64> {
        let prompts: Vec<_> = (0..sequences).map(|_| self.prompt(length)).collect();
        let streams = prompts.into_iter().map(|prompt| self.ask(prompt, decode + 1));
        let streams = streams.collect::<anyhow::Result<Vec<_>>>()?;
        rate_together(Times::of_many(streams).await?)
    }

    /// Two prompts with the same first `length` tokens, one after the other.
    pub(super) async fn first_tokens(&mut self, length: u32) -> anyhow::Result<FirstTokens> {
        let beginning = self.prompt(length);
        let (cold, _) = self.first_token(&beginning).await?;
        let (shared, cached) = self.first_token(&beginning).await?;
        Ok(FirstTokens { cold, shared, cached })
    }

    /// The time to the first token of a prompt that begins so, and how much of it was known.
    async fn first_token(&mut self, beginning: &[u32]) -> anyhow::Result<(Duration, u32)> {
        let mut prompt = beginning.to_vec();
        prompt.extend(self.prompt(TAIL));
        let started = Instant::now();
        let times = Times::of(self.ask(prompt, 1)?).await?;
        let first = times.tokens.first().context("the engine produced no token")?;
        Ok((first.duration_since(started), times.cached))
    }

    fn prompt(&mut self, length: u32) -> Vec<u32> {
        self.next += 1;
        prompt(self.next, length, self.engine.vocabulary_size())
    }

    fn ask(&self, prompt: Vec<u32>, max_tokens: u32) -> anyhow::Result<GenerateStream> {
        let request = GenerateRequest {
            prompt,
            sampling: Sampling::greedy(),
            max_tokens: TokenCount(max_tokens),
            stop_tokens: Vec::new(),
            logprobs: None,
            span_limit: None,
            constraint: None,
            priority: Priority::default(),
            account: None,
        };
        Ok(self.engine.generate(request)?)
    }
}

/// Tokens per second of all sequences, from when the last of them has begun until the first ends.
fn rate_together(mut all: Vec<Times>) -> anyhow::Result<f64> {
    let begin = all.iter().filter_map(|times| times.tokens.first()).max().copied();
    let end = all.iter().filter_map(|times| times.tokens.last()).min().copied();
    let (begin, end) = begin.zip(end).context("the engine produced no token")?;
    let mut rate = 0.0;
    for times in &mut all {
        times.keep(begin, end);
        rate += times.rate()?;
    }
    Ok(rate)
}

/// When the tokens of one sequence came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Times {
    tokens: Vec<Instant>,
    /// Prompt tokens that were not computed again.
    cached: u32,
}

impl Times {
    async fn of(stream: GenerateStream) -> anyhow::Result<Self> {
        let mut all = Self::of_many(vec![stream]).await?;
        all.pop().context("one sequence has times")
    }

    async fn of_many(streams: Vec<GenerateStream>) -> anyhow::Result<Vec<Self>> {
        let mut all = vec![Self::default(); streams.len()];
        let named = streams.into_iter().enumerate();
        let mut events = select_all(named.map(|(index, stream)| stream.map(move |event| (index, event))));
        while let Some((index, event)) = events.next().await {
            all[index].record(event, Instant::now())?;
        }
        Ok(all)
    }

    fn record(&mut self, event: GenerateEvent, now: Instant) -> anyhow::Result<()> {
        match event {
            GenerateEvent::Started { cached } => self.cached = cached.get(),
            GenerateEvent::Token { .. } => self.tokens.push(now),
            GenerateEvent::Finished(_) => {}
            GenerateEvent::Unconstrained(reason) => bail!("the engine cannot follow a constraint: {reason}"),
            GenerateEvent::Overloaded => bail!("the engine is too busy"),
            GenerateEvent::Failed(reason) => bail!("the engine failed: {reason}"),
        }
        Ok(())
    }

    /// Forgets tokens outside of a window.
    fn keep(&mut self, begin: Instant, end: Instant) {
        self.tokens.retain(|time| (begin..=end).contains(time));
    }

    /// Tokens per second, from the first token on.
    fn rate(&self) -> anyhow::Result<f64> {
        let (Some(first), Some(last)) = (self.tokens.first(), self.tokens.last()) else {
            bail!("a sequence was not generating while the others were; let each generate more tokens");
        };
        let steps = u32::try_from(self.tokens.len() - 1)?;
        if steps == 0 {
            bail!("a sequence had one token only while the others were generating; let each generate more");
        }
        Ok(f64::from(steps) / last.duration_since(*first).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_the_steps_between_tokens_inside_the_window() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut times = Times {
            tokens: [0, 100, 110, 120, 130, 500].map(at).to_vec(),
            cached: 0,
        };
        times.keep(at(100), at(130));
        assert!((times.rate().unwrap() - 100.0).abs() < 1e-6);
        times.keep(at(120), at(120));
        assert!(times.rate().is_err(), "one token has no rate");
        times.keep(at(0), at(1));
        assert!(times.rate().is_err());
    }

    #[test]
    fn sequences_count_together_while_all_are_generating() {
        let start = Instant::now();
        let times = |milliseconds: &[u64]| Times {
            tokens: milliseconds
                .iter()
                .map(|after| start + Duration::from_millis(*after))
                .collect(),
            cached: 0,
        };
        // The second begins late and the first ends early; between them each has a token in 10 ms.
        let first = times(&[0, 5, 100, 110, 120]);
        let second = times(&[100, 110, 120, 400]);
        let rate = rate_together(vec![first.clone(), second]).unwrap();
        assert!((rate - 200.0).abs() < 1e-6, "{rate}");
        assert!(rate_together(vec![first, times(&[130, 140])]).is_err());
        assert!(rate_together(Vec::new()).is_err());
    }

    #[test]
    fn refused_and_failed_sequences_make_the_run_fail() {
        let mut times = Times::default();
        let now = Instant::now();
        assert!(times.record(GenerateEvent::Overloaded, now).is_err());
        let failed = times.record(GenerateEvent::Failed("no memory".to_owned()), now);
        assert!(failed.unwrap_err().to_string().contains("no memory"));
    }
}
