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

use silica_types::TokenCount;

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

    /// The bytes that may still come.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
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
    use super::*;

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
