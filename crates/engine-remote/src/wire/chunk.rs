//! A frame of the answer. Servers differ in what they leave out or set to `null`, so nearly
//! everything may be missing; unknown fields are passed over.

use std::collections::BTreeMap;

use serde::Deserialize;
use silica_engine::{FinishReason, TextLogprob, TopLogprob};
use silica_types::TokenCount;

use super::scalar::{Fault, Scalar, short_list};
use crate::RemoteError;
use crate::tally::Report;

/// One frame.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk {
    #[serde(default, deserialize_with = "short_list")]
    pub(crate) choices: Option<Vec<ChunkChoice>>,
    usage: Option<UsageReport>,
    /// There instead of choices when the engine failed.
    error: Option<Fault>,
    /// `error` in the frames of servers that put the fault's fields at the top.
    object: Option<String>,
    code: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChunkChoice {
    #[serde(default)]
    pub(crate) index: u32,
    pub(crate) delta: Option<ChunkDelta>,
    /// More of the answer, of one without a chat.
    text: Option<String>,
    pub(crate) logprobs: Option<ChunkLogprobs>,
    finish_reason: Option<String>,
    /// The stop text that was met, or the number of a token; a word of vLLM,
    stop_reason: Option<Scalar>,
    /// and of `SGLang`.
    matched_stop: Option<Scalar>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ChunkDelta {
    pub(crate) content: Option<String>,
    reasoning_content: Option<String>,
    /// The name that newer servers give to `reasoning_content`; some send both.
    reasoning: Option<String>,
    #[serde(default, deserialize_with = "short_list")]
    pub(crate) tool_calls: Option<Vec<ToolCallPiece>>,
}

/// A piece of a tool call.
#[derive(Debug, Deserialize)]
pub(crate) struct ToolCallPiece {
    pub(crate) index: Option<u32>,
    pub(crate) id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Debug, Default, Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChunkLogprobs {
    content: Option<Vec<TokenEntry>>,
    /// The same of answers without a chat: lists, with an entry a token.
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f32>>>,
    top_logprobs: Option<Vec<Option<BTreeMap<String, f32>>>>,
}

#[derive(Debug, Deserialize)]
struct TokenEntry {
    #[serde(flatten)]
    token: TopEntry,
    top_logprobs: Option<Vec<TopEntry>>,
}

#[derive(Debug, Deserialize)]
struct TopEntry {
    token: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
}

/// What an engine says that it has used.
#[derive(Debug, Deserialize)]
pub(crate) struct UsageReport {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    total_tokens: Option<u32>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// Where services of this name put `cached_tokens`.
    prompt_cache_hit_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u32>,
}

impl Chunk {
    /// The failure that this frame reports instead of choices, if it does.
    pub(crate) fn failure(&self) -> Option<RemoteError> {
        let says_error = self.object.as_deref() == Some("error");
        reported_fault(self.error.as_ref(), says_error, self.code.as_ref())
    }

    /// What the engine reports as consumed so far.
    pub(crate) fn report(&self) -> Option<Report> {
        self.usage.as_ref().map(UsageReport::report)
    }
}

/// The failure that an object reports: in its member `error`, or by being one.
pub(crate) fn reported_fault(
    error: Option<&Fault>,
    says_error: bool,
    code: Option<&Scalar>,
) -> Option<RemoteError> {
    let code = match error {
        Some(fault) => Some(&fault.code),
        None if says_error => code,
        None => return None,
    };
    let code = match code {
        Some(Scalar::Number(code)) => Some(*code),
        Some(Scalar::Text(_) | Scalar::Other) | None => None,
    };
    Some(RemoteError::Reported { code })
}

/// What a word for the end of a choice means; `None` when it is none, `Some(Err)` when the choice did
/// not end by itself.
pub(crate) fn finish_reason(word: &str) -> Option<Result<FinishReason, ()>> {
    Some(Ok(match word {
        // Not a reason: some servers send an empty text where others send null.
        "" => return None,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        // The last two are words of DeepSeek and Zhipu.
        "abort" | "error" | "insufficient_system_resource" | "network_error" => return Some(Err(())),
        // The text is whole, whatever the word for it ("eos", "stop_sequence", "content_filter").
        _ => FinishReason::Stop,
    }))
}

impl UsageReport {
    /// Whether it has all three counts, and they agree.
    pub(crate) fn is_complete(&self) -> bool {
        let sum = self
            .prompt_tokens
            .zip(self.completion_tokens)
            .and_then(|(prompt, completion)| prompt.checked_add(completion));
        sum.is_some() && self.total_tokens == sum
    }

    /// The counts in our terms.
    pub(crate) fn report(&self) -> Report {
        let details = self.prompt_tokens_details.as_ref();
        let cached = details
            .and_then(|details| details.cached_tokens)
            .or(self.prompt_cache_hit_tokens);
        let details = self.completion_tokens_details.as_ref();
        let reasoning = details.and_then(|details| details.reasoning_tokens);
        Report {
            prompt: self.prompt_tokens.map(TokenCount),
            cached: TokenCount(cached.unwrap_or(0)),
            completion: self.completion_tokens.map(TokenCount),
            reasoning: TokenCount(reasoning.unwrap_or(0)),
        }
    }
}

impl ChunkChoice {
    /// Why the choice ended, if it did. `Some(Err)` when it did not end by itself.
    pub(crate) fn finish(&self) -> Option<Result<FinishReason, ()>> {
        finish_reason(self.finish_reason.as_deref()?)
    }
}

impl ChunkChoice {
    /// What the frame adds to the choice.
    pub(crate) fn take_delta(&mut self) -> ChunkDelta {
        let mut delta = self.delta.take().unwrap_or_default();
        delta.content = delta.content.or(self.text.take());
        delta
    }

    /// The stop text that ended the choice, if the engine tells it.
    pub(crate) fn stop_text(&mut self) -> Option<String> {
        let told = [self.stop_reason.take(), self.matched_stop.take()];
        told.into_iter().flatten().find_map(|told| match told {
            Scalar::Text(text) => Some(text).filter(|text| !text.is_empty()),
            Scalar::Number(_) | Scalar::Other => None,
        })
    }
}

impl ChunkDelta {
    /// Reasoning text, empty when there is none.
    pub(crate) fn reasoning(&mut self) -> String {
        let texts = [self.reasoning_content.take(), self.reasoning.take()];
        texts
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }
}

impl ToolCallPiece {
    /// The function's name and the piece of its arguments, both empty when missing.
    pub(crate) fn function(&mut self) -> (String, String) {
        let FunctionPiece { name, arguments } = self.function.take().unwrap_or_default();
        (name.unwrap_or_default(), arguments.unwrap_or_default())
    }
}

impl ChunkLogprobs {
    /// One entry a token, each with at most `most` alternatives.
    pub(crate) fn into_entries(self, most: u8) -> Vec<TextLogprob> {
        let entries = self.content.unwrap_or_default();
        let entry = |entry: TokenEntry| {
            let top = entry.top_logprobs.unwrap_or_default();
            TextLogprob {
                token: top_logprob(entry.token),
                top: top.into_iter().take(usize::from(most)).map(top_logprob).collect(),
            }
        };
        if entries.is_empty() {
            return Self::listed(self.tokens, self.token_logprobs, self.top_logprobs, most);
        }
        entries.into_iter().map(entry).collect()
    }

    /// The entries of lists. A token without a number, such as the first of an echo, has none.
    fn listed(
        tokens: Option<Vec<String>>,
        logprobs: Option<Vec<Option<f32>>>,
        top: Option<Vec<Option<BTreeMap<String, f32>>>>,
        most: u8,
    ) -> Vec<TextLogprob> {
        let mut top = top.unwrap_or_default().into_iter();
        let entry = |(token, logprob): (String, Option<f32>)| {
            let top = top.next().flatten().unwrap_or_default();
            let mut top: Vec<_> = top.into_iter().map(listed_logprob).collect();
            top.sort_by(|one, other| other.logprob.total_cmp(&one.logprob));
            top.truncate(usize::from(most));
            let token = listed_logprob((token, logprob?));
            Some(TextLogprob { token, top })
        };
        let tokens = tokens.into_iter().flatten();
        tokens
            .zip(logprobs.into_iter().flatten())
            .filter_map(entry)
            .collect()
    }
}

fn listed_logprob((token, logprob): (String, f32)) -> TopLogprob {
    top_logprob(TopEntry {
        token,
        logprob,
        bytes: None,
    })
}

fn top_logprob(entry: TopEntry) -> TopLogprob {
    TopLogprob {
        bytes: entry.bytes.unwrap_or_else(|| entry.token.clone().into_bytes()),
        text: entry.token,
        logprob: entry.logprob.min(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> Chunk {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn usage_is_read_with_details_under_either_name() {
        let whole = chunk(
            r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
            "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}}"#,
        );
        let report = Report {
            prompt: Some(TokenCount(10)),
            cached: TokenCount(4),
            completion: Some(TokenCount(5)),
            reasoning: TokenCount(3),
        };
        assert_eq!(whole.report(), Some(report));
        let of_prompt = chunk(r#"{"usage":{"prompt_tokens":10,"prompt_cache_hit_tokens":6}}"#);
        let report = Report {
            cached: TokenCount(6),
            completion: None,
            reasoning: TokenCount::ZERO,
            ..report
        };
        assert_eq!(of_prompt.report(), Some(report));
    }

    #[test]
    fn a_missing_null_or_empty_usage_reports_nothing() {
        for text in [r"{}", r#"{"usage":null}"#] {
            assert_eq!(chunk(text).report(), None, "{text}");
        }
        let empty = chunk(r#"{"usage":{}}"#).report().unwrap();
        assert_eq!((empty.prompt, empty.completion), (None, None));
        assert!(serde_json::from_str::<Chunk>(r#"{"usage":{"prompt_tokens":-1}}"#).is_err());
    }

    #[test]
    fn failures_are_seen_in_each_form() {
        for (text, code) in [
            (r#"{"error":{"message":"x","code":500}}"#, Some(500)),
            (r#"{"error":{"message":"x","code":"bad"}}"#, None),
            (r#"{"error":"x"}"#, None),
            (r#"{"object":"error","message":"x","code":400}"#, Some(400)),
        ] {
            let failure = chunk(text).failure();
            assert!(
                matches!(failure, Some(RemoteError::Reported { code: it }) if it == code),
                "{text}"
            );
        }
        let sound = chunk(r#"{"error":null,"object":"chat.completion.chunk"}"#);
        assert!(sound.failure().is_none());
    }

    #[test]
    fn answers_without_a_chat_are_read_with_their_lists_of_tokens() {
        let text = r#"{"index":0,"text":"ab","logprobs":{"tokens":["a","b"],"token_logprobs":[null,-0.5],
            "top_logprobs":[null,{"c":-2.0,"b":-0.5,"d":-3.0}],"text_offset":[0,1]}}"#;
        let mut choice: ChunkChoice = serde_json::from_str(text).unwrap();
        assert_eq!(choice.take_delta().content.as_deref(), Some("ab"));
        let entries = choice.logprobs.take().unwrap().into_entries(2);
        let [entry] = entries.as_slice() else {
            panic!("{entries:?}")
        };
        assert_eq!((entry.token.text.as_str(), entry.token.logprob), ("b", -0.5));
        let top: Vec<&str> = entry.top.iter().map(|top| top.text.as_str()).collect();
        assert_eq!(top, ["b", "c"]);
    }

    #[test]
    fn more_choices_or_calls_than_can_be_asked_for_are_none() {
        let choices = |count: usize| format!(r#"{{"choices":[{}]}}"#, vec!["{}"; count].join(","));
        assert!(serde_json::from_str::<Chunk>(&choices(128)).is_ok());
        assert!(serde_json::from_str::<Chunk>(&choices(129)).is_err());
        let calls = vec!["{}"; 129].join(",");
        let text = format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#);
        assert!(serde_json::from_str::<Chunk>(&text).is_err());
    }

    #[test]
    fn words_for_the_end_are_read() {
        let finish = |word: &str| {
            let text = format!(r#"{{"index":0,"delta":{{}},"finish_reason":{word}}}"#);
            serde_json::from_str::<ChunkChoice>(&text).unwrap().finish()
        };
        assert_eq!(finish("null"), None);
        assert_eq!(finish(r#""""#), None);
        assert_eq!(finish(r#""eos""#), Some(Ok(FinishReason::Stop)));
        assert_eq!(finish(r#""length""#), Some(Ok(FinishReason::Length)));
        assert_eq!(finish(r#""tool_calls""#), Some(Ok(FinishReason::ToolCalls)));
        assert_eq!(finish(r#""abort""#), Some(Err(())));
    }
}
