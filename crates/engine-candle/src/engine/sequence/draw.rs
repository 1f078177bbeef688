//! What a sequence draws when a step has been computed.

use silica_engine::{Allowed, ConstraintError, GenerateEvent, Progress, StopCause};
use silica_types::TokenCount;

use super::super::meters::Meters;
use super::super::span::SpanGuard;
use super::super::speculation::Drafter;
use super::{Sequence, Sharing, StepError};
use crate::text::sampler::{Next, SamplerScratch};

impl Sequence {
    /// Notes that a step has been computed. `rows` are the logits of the tokens whose logits were
    /// wanted: of the last one where the sequence is caught up, and of those drafted after it.
    pub(in crate::engine) fn finish_step<'rows>(
        &mut self,
        rows: impl Iterator<Item = &'rows [f32]>,
        scratch: &mut SamplerScratch,
        meters: &Meters,
    ) -> Result<(), StepError> {
        if self.table.len() < self.tokens.len() {
            self.settle();
            return Ok(());
        }
        let drafted = self.drafter.as_ref().map(Drafter::drafted);
        let drafted = drafted.unwrap_or_default().to_vec();
        if drafted.is_empty() {
            // Also when nothing can be drawn, others find the prompt.
            self.settle();
        }
        if !self.started {
            self.started = true;
            meters.prefix(self.cached, self.prompt - self.cached);
            let cached = TokenCount::of(&self.tokens[..self.cached]);
            if !self.sink.send(GenerateEvent::Started { cached }) {
                return Ok(()); // The next round sees that the receiver is gone.
            }
        }
        let before = self.tokens.len();
        self.draw_rows(rows, &drafted, scratch)?;
        if let Some(drafter) = &mut self.drafter {
            drafter.observe(&self.tokens, before);
            // The last token that was drawn is not computed, whether or not it was drafted.
            self.table.truncate(self.tokens.len() - 1);
            let accepted = (self.tokens.len() - before - 1).min(drafted.len());
            meters.drafts(accepted, drafted.len() - accepted);
        }
        self.settle();
        Ok(())
    }

    /// Draws from row after row for as long as the drafted tokens come.
    fn draw_rows<'rows>(
        &mut self,
        mut rows: impl Iterator<Item = &'rows [f32]>,
        drafted: &[u32],
        scratch: &mut SamplerScratch,
    ) -> Result<(), StepError> {
        let mut drafted = drafted.iter();
        loop {
            self.draw(rows.next().unwrap_or_default(), scratch)?;
            if self.over || drafted.next() != self.tokens.last() {
                return Ok(());
            }
        }
    }

    /// Lets others find what is computed.
    fn settle(&mut self) {
        self.known = self.known.max(self.table.len());
        if self.sharing == Sharing::Shared {
            self.table.name(&self.tokens);
        }
    }

    fn draw(&mut self, logits: &[f32], scratch: &mut SamplerScratch) -> Result<(), StepError> {
        let next = self.next(logits.len(), scratch)?;
        let drawn = self.sampler.draw(logits, next, scratch)?;
        if let Some(span) = &mut self.span {
            span.observe(drawn.id);
        }
        self.tokens.push(drawn.id);
        let is_stop = self.stop_tokens.contains(&drawn.id);
        let progress = match &mut self.constraint {
            Some(constraint) if !is_stop => constraint.accept(drawn.id)?,
            Some(_) | None => Progress::Open,
        };
        // A receiver that is gone is seen at the beginning of the next round, also by its count.
        let _ = self.sink.send(GenerateEvent::Token {
            id: drawn.id,
            logprob: drawn.logprob,
        });
        let cause = if is_stop {
            StopCause::StopToken
        } else if progress == Progress::Complete {
            StopCause::Complete
        } else if self.tokens.len() - self.prompt >= self.max_tokens {
            StopCause::Length
        } else {
            return Ok(());
        };
        // The answer is complete whether or not somebody still listens.
        let _ = self.sink.send(GenerateEvent::Finished(cause));
        self.over = true;
        Ok(())
    }

    /// What may come next, of so many tokens. A mask is left in `scratch`.
    fn next(&mut self, tokens: usize, scratch: &mut SamplerScratch) -> Result<Next, ConstraintError> {
        if let Some(id) = self.span.as_ref().and_then(SpanGuard::forced) {
            return Ok(Next::Forced(id));
        }
        let Some(constraint) = &mut self.constraint else {
            return Ok(Next::Any);
        };
        scratch.mask.reset(tokens);
        Ok(match constraint.allow(&mut scratch.mask)? {
            Allowed::All => Next::Any,
            Allowed::Marked => Next::Marked,
        })
    }
}
