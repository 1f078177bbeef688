//! An answer on its way through moderation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use silica_engine::{ChatEvent, ChatEventKind, EngineError, ModerationError};
use silica_moderation::{HeldAnswer, Windows};

use super::{Moderation, ModerationStage};
use crate::GatewayError;

/// Holds an answer back until it is judged. Dropping it ends a judgement that is under way.
pub(crate) struct Checked {
    moderation: Arc<Moderation>,
    held: HeldAnswer,
    judging: Option<Judging>,
    /// How the engine's stream ended, until it is told.
    end: Option<Result<(), EngineError>>,
}

/// A judgement under way.
type Judging = Pin<Box<dyn Future<Output = Result<(), GatewayError>> + Send>>;

/// What comes next.
pub(super) enum Next {
    /// This, as the engine's stream brought it, or the refusal that ends it.
    Item(Option<Result<ChatEvent, GatewayError>>),
    /// Nothing before the engine has said more.
    More,
}

impl Checked {
    pub(super) fn new(moderation: Arc<Moderation>, choices: u32, windows: Option<Windows>) -> Self {
        Self {
            moderation,
            held: HeldAnswer::new(choices, windows),
            judging: None,
            end: None,
        }
    }

    /// Brings the next item of the engine's stream that has passed. `engine` brings what has not.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        mut engine: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<ChatEvent, EngineError>>>,
    ) -> Poll<Option<Result<ChatEvent, GatewayError>>> {
        loop {
            if let Next::Item(item) = ready!(self.poll_passed(context)) {
                return Poll::Ready(item);
            }
            match ready!(engine(context)) {
                Some(Ok(event)) if is_unread(&event) => return Poll::Ready(Some(Err(unread()))),
                Some(Ok(event)) => self.held.push(event),
                Some(Err(error)) => self.end(Err(error)),
                None => self.end(Ok(())),
            }
        }
    }

    /// What was said before goes out first, if it passes.
    fn end(&mut self, end: Result<(), EngineError>) {
        self.held.end();
        self.end = Some(end);
    }

    fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(judging) = &mut self.judging {
                let judged = ready!(judging.as_mut().poll(context));
                self.judging = None;
                match judged {
                    Ok(()) => self.held.passed(),
                    Err(refused) => return Poll::Ready(Next::Item(Some(Err(refused)))),
                }
            }
            if let Some(event) = self.held.pop() {
                return Poll::Ready(Next::Item(Some(Ok(event))));
            }
            if let Some(texts) = self.held.to_judge() {
                let moderation = Arc::clone(&self.moderation);
                self.judging = Some(Box::pin(async move {
                    moderation.check(ModerationStage::Output, texts).await
                }));
                continue;
            }
            return Poll::Ready(match self.end.take() {
                Some(Ok(())) => Next::Item(None),
                Some(Err(error)) => Next::Item(Some(Err(error.into()))),
                None => Next::More,
            });
        }
    }
}

/// Whether nobody here can tell what a part of an answer says.
const fn is_unread(event: &ChatEvent) -> bool {
    matches!(event.kind, ChatEventKind::Forwarded { .. })
}

/// What is not read is not judged either, whatever becomes of texts without a judgement.
fn unread() -> GatewayError {
    GatewayError::Unmoderated(ModerationError::Invalid(
        "the engine forwards what has to be read".to_owned(),
    ))
}
