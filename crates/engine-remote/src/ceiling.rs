//! The most of an answer that is taken, for engines that do not end at `max_tokens`.
//!
//! Without it such an engine would fill the memory of whoever collects the answer, or run for ever.
//! An engine that goes a little over the limit is left to end by itself: what it says of its usage
//! then still counts.
//!
//! | what | the most, for a call of up to `limit` tokens |
//! |---|---|
//! | frames, whatever is in them; log-probabilities count as a frame a token | 4 times `limit`, and 1,024 |
//! | texts, those of log-probabilities too | 64 bytes a token, for the text and for each log-probability asked for, and 64 KiB |
//!
//! An answer in one piece is taken whole or not at all, so its limit ([`longest_answer`]) is another: more
//! than any right answer to the request has, as what is longer is lost to its client.
//!
//! | what | bytes |
//! |---|---|
//! | texts | 64 a token |
//! | log-probabilities, if asked for | 256 a token, and 256 for each alternative to it |
//! | what it repeats of the request | 6 for each byte of the body (all of it in escapes); of texts, which may be begun anew by every choice, as many times as there are choices |
//! | all else | 1 MiB |
//! | everything together | at most 256 MiB |

use silica_engine::{WireRequest, WireRoute};
use silica_types::TokenCount;

/// A log-probability with its token, as text and as bytes, in JSON.
const BYTES_PER_ALTERNATIVE: u64 = 256;
/// The longest escape of one byte, such as `\u0007`.
const BYTES_PER_REPEATED: u64 = 6;
/// Names, ids and ends of an answer and its choices.
const BYTES_AROUND: u64 = 1024 * 1024;
/// No answer in one piece may take more of the memory.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// The most bytes of an answer in one piece to a request of at most this many tokens over all choices,
/// with as many alternatives to each.
pub(crate) fn longest_answer(
    wire: &WireRequest,
    completion_limit: TokenCount,
    choices: u32,
    logprobs: Option<u8>,
) -> usize {
    let tokens = u64::from(completion_limit.get());
    let alternatives = logprobs.map_or(0, |most| 1 + u64::from(most));
    let repetitions = match wire.route {
        WireRoute::Completions => u64::from(choices.max(1)),
        WireRoute::ChatCompletions | WireRoute::Embeddings | WireRoute::Rerank | WireRoute::Moderations => 1,
    };
    let generated = tokens.saturating_mul(BYTES_PER_TOKEN + BYTES_PER_ALTERNATIVE * alternatives);
    let repeated = repeated(wire).saturating_mul(repetitions);
    let all = generated.saturating_add(repeated).saturating_add(BYTES_AROUND);
    usize::try_from(all.min(MOST_BYTES)).unwrap_or(usize::MAX)
}

/// The most bytes by which an answer that repeats its request once is longer.
pub(crate) fn repeated(wire: &WireRequest) -> u64 {
    u64::try_from(wire.body.len())
        .unwrap_or(u64::MAX)
        .saturating_mul(BYTES_PER_REPEATED)
}

/// Frames for each token that was asked for. Servers send at most one, and few that say nothing.
const FRAMES_PER_TOKEN: u64 = 4;
/// Frames on top: what stands around an answer, and signs of life while the prompt is computed.
const SPARE_FRAMES: u64 = 1024;
/// More than the tokens of any text have on average.
const BYTES_PER_TOKEN: u64 = 64;
/// Bytes on top.
const SPARE_BYTES: u64 = 64 * 1024;

/// What may still come of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    frames: u64,
    bytes: u64,
}

impl Ceiling {
    /// For a call of at most this many tokens over all choices, with as many alternatives to each.
    pub(crate) fn new(completion_limit: TokenCount, logprobs: Option<u8>) -> Self {
        let tokens = u64::from(completion_limit.get());
        let texts = 1 + logprobs.map_or(0, |most| 1 + u64::from(most));
        Self {
            frames: FRAMES_PER_TOKEN * tokens + SPARE_FRAMES,
            bytes: BYTES_PER_TOKEN * texts * tokens + SPARE_BYTES,
        }
    }

    /// Takes this much. Says whether it was still there; once it was not, nothing is any more.
    pub(crate) fn take(&mut self, frames: usize, bytes: usize) -> bool {
        let left = |left: u64, taken: usize| left.checked_sub(u64::try_from(taken).ok()?);
        let left = left(self.frames, frames).zip(left(self.bytes, bytes));
        let (frames, bytes) = left.unwrap_or_default();
        *self = Self { frames, bytes };
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use silica_types::{MediaParts, ModelName};

    use super::*;

    fn longest(route: WireRoute, body: usize, tokens: u32, choices: u32, logprobs: Option<u8>) -> usize {
        let wire = WireRequest {
            body: vec![b'x'; body].into(),
            members: Vec::new(),
            route,
            id: String::new(),
            model: ModelName::new("m").unwrap(),
            media: MediaParts::default(),
            streams: false,
            is_read: false,
        };
        longest_answer(&wire, TokenCount(tokens), choices, logprobs)
    }

    #[test]
    fn an_answer_in_one_piece_has_room_for_what_was_asked_for() {
        const AROUND: usize = 1024 * 1024;
        let (chat, text) = (WireRoute::ChatCompletions, WireRoute::Completions);
        assert_eq!(longest(chat, 100, 10, 5, None), 10 * 64 + 6 * 100 + AROUND);
        assert_eq!(
            longest(chat, 100, 10, 5, Some(20)),
            10 * (64 + 21 * 256) + 6 * 100 + AROUND
        );
        assert_eq!(longest(text, 100, 10, 5, None), 10 * 64 + 5 * 6 * 100 + AROUND);
        assert_eq!(
            longest(text, 100, u32::MAX, u32::MAX, Some(u8::MAX)),
            256 * 1024 * 1024
        );
    }

    #[test]
    fn frames_and_bytes_are_each_taken_up_to_their_number_and_none_after_it() {
        let new = || Ceiling::new(TokenCount(10), None);
        let (frames, bytes) = (4 * 10 + 1024, 64 * 10 + 64 * 1024);
        let mut ceiling = new();
        assert!(ceiling.take(frames - 1, 0) && ceiling.take(1, bytes) && ceiling.take(0, 0));
        assert!(!ceiling.take(1, 0));
        let mut ceiling = new();
        assert!(!ceiling.take(0, bytes + 1));
        assert!(!ceiling.take(1, 0));
    }

    #[test]
    fn log_probabilities_have_room_of_their_own_and_no_call_is_too_large() {
        let with = Ceiling::new(TokenCount(10), Some(20));
        assert_eq!(with.bytes, 64 * 10 * 22 + 64 * 1024);
        assert!(Ceiling::new(TokenCount(u32::MAX), Some(u8::MAX)).take(1, 1));
    }
}
