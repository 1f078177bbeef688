//! The token level: an engine with random weights.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use silica_types::TokenCount;

use crate::{
    Allowed, ConstraintError, EngineError, GenerateEvent, GenerateRequest, GenerateSink, GenerateStream,
    Progress, StopCause, TokenConstraint, TokenEngine, TokenMask,
};

/// A [`TokenEngine`] that draws among the allowed tokens at random: what an answer's constraint promises,
/// it must keep with this engine, too. The same seed gives the same answers.
///
/// Each request runs at once and on the caller's thread. `sampling`, `span_limit` and `logprobs` have no
/// effect.
#[derive(Debug)]
pub struct RandomTokenEngine {
    context_length: TokenCount,
    vocabulary_size: u32,
    /// How many times as likely as the others some tokens are.
    favoured: HashMap<u32, u64>,
    state: Mutex<u64>,
}

impl RandomTokenEngine {
    /// Makes an engine.
    pub fn new(context_length: TokenCount, vocabulary_size: u32, seed: u64) -> Self {
        Self {
            context_length,
            vocabulary_size,
            favoured: HashMap::new(),
            state: Mutex::new(seed),
        }
    }

    /// Makes tokens more likely than the others, for example those that end something.
    #[must_use]
    pub fn favouring(mut self, tokens: impl IntoIterator<Item = u32>, times: u64) -> Self {
        self.favoured.extend(tokens.into_iter().map(|id| (id, times)));
        self
    }

    fn weight(&self, id: u32) -> u64 {
        self.favoured.get(&id).copied().unwrap_or(1)
    }

    /// A number below `end`, evenly enough.
    fn below(&self, end: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // SplitMix64 (Steele, Lea and Flood, 2014).
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = *state;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (number ^ (number >> 31)) % end.max(1)
    }

    fn draw(&self, allowed: impl Iterator<Item = u32> + Clone) -> Option<u32> {
        let total: u64 = allowed.clone().map(|id| self.weight(id)).sum();
        let mut left = self.below(total);
        let mut allowed = allowed;
        allowed.find(|id| match left.checked_sub(self.weight(*id)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }

    fn next(&self, constraint: Option<&mut Box<dyn TokenConstraint>>) -> Result<u32, ConstraintError> {
        let mut mask = TokenMask::default();
        mask.reset(self.vocabulary_size as usize);
        let allowed = constraint.map_or(Ok(Allowed::All), |constraint| constraint.allow(&mut mask))?;
        let drawn = match allowed {
            Allowed::All => self.draw(0..self.vocabulary_size),
            Allowed::Marked => {
                let ids: Vec<u32> = mask.ids().collect();
                self.draw(ids.into_iter())
            }
        };
        drawn.ok_or_else(|| ConstraintError("no token is allowed".to_owned()))
    }

    fn run(&self, request: &GenerateRequest, sink: &GenerateSink) -> Result<StopCause, ConstraintError> {
        let mut constraint = request.constraint.as_ref().map(|source| source.start());
        for _ in 0..request.max_tokens.get() {
            let id = self.next(constraint.as_mut())?;
            let _ = sink.send(GenerateEvent::Token { id, logprob: None });
            if request.stop_tokens.contains(&id) {
                return Ok(StopCause::StopToken);
            }
            if let Some(constraint) = &mut constraint
                && constraint.accept(id)? == Progress::Complete
            {
                return Ok(StopCause::Complete);
            }
        }
        Ok(StopCause::Length)
    }
}

impl TokenEngine for RandomTokenEngine {
    fn context_length(&self) -> TokenCount {
        self.context_length
    }

    fn vocabulary_size(&self) -> u32 {
        self.vocabulary_size
    }

    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError> {
        let (sink, stream) = GenerateStream::channel(request.max_tokens);
        let _ = sink.send(GenerateEvent::Started {
            cached: TokenCount::ZERO,
        });
        let _ = sink.send(match self.run(&request, &sink) {
            Ok(cause) => GenerateEvent::Finished(cause),
            Err(error) => GenerateEvent::Unconstrained(error.to_string()),
        });
        Ok(stream)
    }
}
