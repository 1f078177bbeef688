//! The answer in one piece.

use silica_engine::{Delta, TextLogprob};
use silica_gateway::{Call, GatewayError};
use silica_protocol::openai::chat::FinishReason;
use silica_protocol::openai::completions::{Completion, CompletionChoice, CompletionLogprobs};

use crate::answer::{Collected, GrowingChoice, collected};
use crate::chat::wire::{self, Head};

/// Reads a call to its end. Each choice begins with `echo`. Dropping the future cancels the call.
///
/// # Errors
/// When the call fails, whatever was generated before.
pub(super) async fn collect(
    call: Call,
    head: Head,
    choices: u32,
    echo: &str,
) -> Result<Collected<Completion>, GatewayError> {
    let empty = || Parts {
        text: echo.to_owned(),
        ..Parts::default()
    };
    let parts: Vec<Parts> = (0..choices).map(|_| empty()).collect();
    let (parts, usage) = match collected(call, parts).await? {
        Collected::Written(written) => written,
        Collected::Forwarded(bytes) => return Ok(Collected::Forwarded(bytes)),
    };
    let choices = (0..)
        .zip(parts)
        .map(|(index, parts)| parts.into_choice(index))
        .collect::<Result<_, _>>()?;
    Ok(Collected::Written(Completion {
        id: head.id,
        object: "text_completion",
        created: head.created,
        model: head.model.as_str().to_owned(),
        choices,
        usage: wire::usage(usage),
        system_fingerprint: "",
    }))
}

/// Text is all that a completion has, so no tools were called.
pub(super) fn finish_reason(reason: silica_engine::FinishReason) -> FinishReason {
    match wire::finish_reason(reason) {
        FinishReason::Length => FinishReason::Length,
        FinishReason::Stop | FinishReason::ToolCalls => FinishReason::Stop,
    }
}

/// Turns the log-probabilities of a piece of text into lists; `offset` is where the piece begins, in
/// characters, and becomes where it ends.
pub(super) fn logprobs(tokens: Vec<TextLogprob>, offset: &mut u32) -> Option<CompletionLogprobs> {
    if tokens.is_empty() {
        return None;
    }
    let mut lists = CompletionLogprobs::default();
    for token in tokens {
        lists.text_offset.push(*offset);
        *offset = offset.saturating_add(characters(&token.token.text));
        lists.tokens.push(token.token.text);
        lists.token_logprobs.push(token.token.logprob);
        let top = token.top.into_iter().map(|top| (top.text, top.logprob));
        lists.top_logprobs.push(top.collect());
    }
    Some(lists)
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// One choice while it grows.
#[derive(Default)]
struct Parts {
    text: String,
    logprobs: Option<CompletionLogprobs>,
    offset: u32,
    finish_reason: Option<FinishReason>,
}

impl GrowingChoice for Parts {
    fn add(&mut self, delta: Delta) {
        // Raw text has no reasoning and no calls.
        let Delta::Content {
            text,
            logprobs: tokens,
        } = delta
        else {
            return;
        };
        self.text.push_str(&text);
        if let Some(more) = logprobs(tokens, &mut self.offset) {
            let all = self.logprobs.get_or_insert_default();
            all.tokens.extend(more.tokens);
            all.token_logprobs.extend(more.token_logprobs);
            all.top_logprobs.extend(more.top_logprobs);
            all.text_offset.extend(more.text_offset);
        }
    }

    fn end(&mut self, reason: silica_engine::FinishReason) {
        self.finish_reason = Some(finish_reason(reason));
    }
}

impl Parts {
    fn into_choice(self, index: u32) -> Result<CompletionChoice, GatewayError> {
        Ok(CompletionChoice {
            index,
            text: self.text,
            logprobs: self.logprobs,
            finish_reason: self.finish_reason.ok_or(GatewayError::Cut)?,
        })
    }
}
