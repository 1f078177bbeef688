//! The engine behind the gateway benchmark: one fixed answer and one fixed stream, made once.
//!
//! It reads no JSON and keeps no log, so that it costs less than any gateway before it; engines that
//! are told what to do are [`Upstream`](crate::Upstream)s.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::task::TaskTracker;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

const MODELS: &str = r#"{"object":"list","data":[{"id":"mock","object":"model","created":1700000000,"owned_by":"mock","max_model_len":32768}]}"#;
const COMPLETION: &str = r#"{"id":"chatcmpl-mock0000000000000000","object":"chat.completion","created":1700000000,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog.","tool_calls":null,"reasoning_content":null},"logprobs":null,"finish_reason":"stop","matched_stop":null}],"usage":{"prompt_tokens":21,"total_tokens":53,"completion_tokens":32}}"#;
const FINISH: &str = "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// How much of a body's begin, and of its end, is looked at for the wish for a stream. Whole
/// megabytes are not, for that would make the mock the bottleneck.
const LOOKED_AT: usize = 4096;

/// What the mock answers to chats that ask for a stream. Each chunk is a frame and a token.
#[derive(Debug, Clone)]
pub struct BenchMock {
    frames: Arc<[Bytes]>,
    chunks: usize,
    gap: Duration,
}

impl BenchMock {
    /// Prepares streams of `chunks` frames with content, one of the finish reason, one of the usage
    /// and the end mark. Before each frame with content but the first, and before the finish, passes
    /// `gap`; zero sends all at once.
    pub fn new(chunks: usize, gap: Duration) -> Self {
        let content = (0..chunks).map(|index| format!("data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"tok{index} \"}},\"finish_reason\":null}}]}}\n\n"));
        let usage = format!(
            "data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[],\"usage\":{{\"prompt_tokens\":21,\"completion_tokens\":{chunks},\"total_tokens\":{}}}}}\n\n",
            21 + chunks
        );
        let frames = content.chain([FINISH.to_owned(), usage, DONE.to_owned()]);
        Self {
            frames: frames.map(Bytes::from).collect(),
            chunks,
            gap,
        }
    }

    /// Answers on a port for as long as the future is polled.
    ///
    /// # Errors
    /// When a connection cannot be accepted.
    pub async fn serve(self, listener: TcpListener) -> io::Result<Infallible> {
        let connections = TaskTracker::new();
        loop {
            let (stream, _) = listener.accept().await?;
            // Else the last, short segment of an answer waits for an acknowledgement that the
            // gateway's system delays for 40 ms, and that is measured as the gateway's.
            stream.set_nodelay(true)?;
            connections.spawn(self.clone().connection(stream));
        }
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        // An error here is a client that went away, as every one does at the end of a window.
        let _ended = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> hyper::Result<Response<MockBody>> {
        let path = request.uri().path();
        if path.ends_with("/models") {
            return Ok(json(MODELS));
        }
        // Routers ask for health and for a description of the server before they use it.
        if !path.ends_with("/completions") {
            return Ok(json("{}"));
        }
        if !wants_stream(request.into_body()).await? {
            return Ok(json(COMPLETION));
        }
        Ok(response(
            EVENT_STREAM,
            MockBody::Frames(Box::new(Frames {
                mock: self.clone(),
                next: 0,
                pause: None,
            })),
        ))
    }
}

fn json(text: &'static str) -> Response<MockBody> {
    response(JSON, MockBody::Whole(Some(Bytes::from_static(text.as_bytes()))))
}

fn response(content_type: HeaderValue, body: MockBody) -> Response<MockBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Reads a body to its end; tells whether it asks for a stream.
async fn wants_stream(mut body: Incoming) -> hyper::Result<bool> {
    let mut head = Vec::with_capacity(LOOKED_AT);
    let mut tail = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let (first, rest) = data.split_at(data.len().min(LOOKED_AT - head.len()));
        head.extend_from_slice(first);
        tail.extend_from_slice(&rest[rest.len().saturating_sub(LOOKED_AT)..]);
        let surplus = tail.len().saturating_sub(LOOKED_AT);
        tail.drain(..surplus);
    }
    head.append(&mut tail);
    let says = |flag: &[u8]| head.windows(flag.len()).any(|bytes| bytes == flag);
    Ok(says(b"\"stream\":true") || says(b"\"stream\": true"))
}

/// An answer's body.
#[derive(Debug)]
enum MockBody {
    Whole(Option<Bytes>),
    Frames(Box<Frames>),
}

/// A stream on its way.
#[derive(Debug)]
struct Frames {
    mock: BenchMock,
    next: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Frames {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let paced = (1..=self.mock.chunks).contains(&self.next) && !self.mock.gap.is_zero();
        if paced {
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(self.mock.gap)));
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let frame = self.mock.frames.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(frame)
    }
}

impl Body for MockBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Whole(body) => body.take(),
            Self::Frames(frames) => ready!(frames.poll_next(context)),
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(body) => {
                hyper::body::SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Frames(_) => hyper::body::SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn started(mock: BenchMock) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(mock.serve(listener));
        format!("http://{address}/v1")
    }

    async fn chat(base_url: &str, body: String) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{base_url}/chat/completions")).body(body);
        request.send().await.unwrap().text().await.unwrap()
    }

    #[tokio::test]
    async fn chat_answers_the_same_430_bytes_and_their_usage() {
        let base_url = started(BenchMock::new(50, Duration::ZERO)).await;
        let text = chat(&base_url, json!({"model": "mock", "stream": false}).to_string()).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text.len(), 430);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert_eq!(answer["usage"]["total_tokens"], 53);
    }

    #[tokio::test]
    async fn stream_has_fifty_chunks_finish_usage_and_the_end_mark() {
        let base_url = started(BenchMock::new(50, Duration::ZERO)).await;
        let text = chat(&base_url, json!({"model": "mock", "stream": true}).to_string()).await;
        let frames: Vec<&str> = text
            .split_terminator("\n\n")
            .map(|frame| frame.strip_prefix("data: ").unwrap())
            .collect();
        let parsed: Vec<Value> = frames[..52]
            .iter()
            .map(|frame| serde_json::from_str(frame).unwrap())
            .collect();
        assert_eq!(frames.len(), 53);
        assert_eq!(parsed[49]["choices"][0]["delta"]["content"], "tok49 ");
        assert_eq!(parsed[50]["choices"][0]["finish_reason"], "stop");
        assert_eq!(parsed[51]["usage"]["completion_tokens"], 50);
        assert_eq!(frames[52], "[DONE]");
    }

    #[tokio::test]
    async fn wish_for_a_stream_is_found_at_both_ends_of_a_long_body() {
        let base_url = started(BenchMock::new(2, Duration::ZERO)).await;
        let padding = "x".repeat(1 << 20);
        for body in [
            json!({"stream": true, "user": padding}),
            json!({"user": padding, "stream": true}),
        ] {
            assert!(chat(&base_url, body.to_string()).await.ends_with(DONE));
        }
        let whole = json!({"user": padding}).to_string();
        assert!(chat(&base_url, whole).await.starts_with('{'));
    }

    #[tokio::test(start_paused = true)]
    async fn gap_passes_before_every_frame_but_the_first_and_the_last_two() {
        let mock = BenchMock::new(3, Duration::from_mins(10));
        let begin = tokio::time::Instant::now();
        let mut body = MockBody::Frames(Box::new(Frames {
            mock,
            next: 0,
            pause: None,
        }));
        let mut waits = Vec::new();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
            waits.push(begin.elapsed().as_secs() / 600);
        }
        assert_eq!(waits, [0, 1, 2, 3, 3, 3]);
    }
}
