//! One streamed chat completion, with the time of every frame.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::sse::SseReader;

/// The server under test and how to ask it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) client: reqwest::Client,
    /// Without a slash at the end, such as `http://127.0.0.1:8080/v1`.
    pub(super) base_url: String,
    pub(super) api_key: String,
    pub(super) model: String,
}

/// What one request was like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// From sending the request to the first token.
    pub(super) first_token: Duration,
    /// Time per token between two frames, once per token of the later frame.
    pub(super) gaps: Vec<Duration>,
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
}

#[derive(Debug, Deserialize)]
struct Frame {
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Debug, Deserialize)]
struct Choice {
    finish_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
}

/// Asks for at most `max_tokens` tokens after `prompt`.
///
/// # Errors
/// On any status but 200 and on a stream that is cut or malformed.
pub(super) async fn measure(target: &Target, prompt: &str, max_tokens: u32) -> anyhow::Result<Sample> {
    let body = json!({
        "model": target.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "stream": true,
    });
    let started = Instant::now();
    let request = target
        .client
        .post(format!("{}/chat/completions", target.base_url));
    let mut response = request.bearer_auth(&target.api_key).json(&body).send().await?;
    let status = response.status();
    if !status.is_success() {
        let text = response.text().await.unwrap_or_default();
        bail!("status {status}: {}", text.chars().take(200).collect::<String>());
    }
    let mut reader = SseReader::default();
    let mut recorder = Recorder::default();
    while let Some(bytes) = response.chunk().await.context("the stream was cut")? {
        let elapsed = started.elapsed();
        for data in reader.push(&bytes)? {
            recorder.record(&data, elapsed)?;
        }
    }
    recorder.finish()
}

/// Turns the frames of one stream into a [`Sample`].
#[derive(Debug, Default)]
struct Recorder {
    first_token: Option<Duration>,
    last_frame: Duration,
    gaps: Vec<Duration>,
    usage: Usage,
    finished: bool,
    done: bool,
}

impl Recorder {
    fn record(&mut self, data: &str, elapsed: Duration) -> anyhow::Result<()> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let frame: Frame =
            serde_json::from_str(data).with_context(|| format!("unexpected frame {data:.200}"))?;
        let tokens = frame
            .usage
            .completion_tokens
            .saturating_sub(self.usage.completion_tokens);
        self.usage = frame.usage;
        self.finished |= frame.choices.iter().any(|choice| choice.finish_reason.is_some());
        if tokens == 0 {
            return Ok(());
        }
        if self.first_token.is_none() {
            self.first_token = Some(elapsed);
        } else {
            let gap = elapsed.saturating_sub(self.last_frame) / tokens;
            self.gaps.extend(std::iter::repeat_n(gap, tokens as usize));
        }
        self.last_frame = elapsed;
        Ok(())
    }

    fn finish(self) -> anyhow::Result<Sample> {
        ensure!(self.finished, "the stream ended without a finish reason");
        ensure!(self.done, "the stream ended without [DONE]");
        let first_token = self.first_token.context("the answer had no token")?;
        Ok(Sample {
            first_token,
            gaps: self.gaps,
            prompt_tokens: self.usage.prompt_tokens,
            completion_tokens: self.usage.completion_tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(completion_tokens: u32, finish: &str) -> String {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"x"}},"finish_reason":{finish}}}],"usage":{{"prompt_tokens":9,"completion_tokens":{completion_tokens},"total_tokens":0}}}}"#
        )
    }

    fn record(frames: &[(u64, String)]) -> anyhow::Result<Sample> {
        let mut recorder = Recorder::default();
        for (milliseconds, data) in frames {
            recorder.record(data, Duration::from_millis(*milliseconds))?;
        }
        recorder.finish()
    }

    #[test]
    fn the_role_frame_is_no_token_and_gaps_are_per_token() {
        let done = (100, "[DONE]".to_owned());
        let frames = [
            (5, frame(0, "null")),
            (20, frame(1, "null")),
            (30, frame(3, "null")),
            (31, frame(3, "\"stop\"")),
            done,
        ];
        let sample = record(&frames).unwrap();
        assert_eq!(sample.first_token, Duration::from_millis(20));
        assert_eq!(sample.gaps, [Duration::from_millis(5); 2]);
        assert_eq!((sample.prompt_tokens, sample.completion_tokens), (9, 3));
    }

    #[test]
    fn cut_streams_and_error_frames_are_failures() {
        assert!(record(&[(1, frame(1, "null"))]).is_err());
        assert!(
            record(&[(1, frame(1, "\"stop\""))])
                .unwrap_err()
                .to_string()
                .contains("[DONE]")
        );
        assert!(record(&[(1, r#"{"error":{"code":50507,"message":"x"}}"#.to_owned())]).is_err());
    }
}
