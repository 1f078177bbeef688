//! Talking to a server under test.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::TestServer;

/// Pause between two looks at something that the server does by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl TestServer {
    /// A request to the public API without a key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base_url()))
    }

    /// `GET path` of the public API with a key.
    ///
    /// # Panics
    /// When there is no answer.
    #[expect(clippy::expect_used, reason = "a server that does not answer fails the test")]
    pub async fn get(&self, path: &str, api_key: &str) -> Response {
        let request = self.request(Method::GET, path).bearer_auth(api_key);
        request.send().await.expect("an answer")
    }

    /// `POST /v1/chat/completions` with a key.
    ///
    /// # Panics
    /// When there is no answer.
    #[expect(clippy::expect_used, reason = "a server that does not answer fails the test")]
    pub async fn chat(&self, api_key: &str, body: &Value) -> Response {
        let request = self
            .request(Method::POST, "/v1/chat/completions")
            .bearer_auth(api_key);
        request.json(body).send().await.expect("an answer")
    }

    /// A request to the operator's API with the admin key; `path` follows `/admin/v1`.
    pub fn admin_request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/admin/v1{path}", self.admin_url());
        self.client.request(method, url).bearer_auth(self.admin_key())
    }

    /// A request of the operator; `path` follows `/admin/v1`. Returns status and JSON body.
    ///
    /// # Panics
    /// When there is no answer, or one that is neither empty nor JSON.
    #[expect(clippy::expect_used, reason = "a server that does not answer fails the test")]
    pub async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = self.admin_request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a whole answer");
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).expect("JSON")
        };
        (status, body)
    }

    /// The sum of a metric over all its labels; 0 when it was never recorded.
    ///
    /// # Panics
    /// When `/metrics` does not answer.
    #[expect(clippy::expect_used, reason = "a server that does not answer fails the test")]
    pub async fn metric(&self, name: &str) -> f64 {
        let response = self
            .client
            .get(format!("{}/metrics", self.admin_url()))
            .send()
            .await
            .expect("an answer");
        let text = response.text().await.expect("a whole answer");
        sum_of(name, &text)
    }

    /// Waits until a metric meets a condition and returns it.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub async fn metric_until(&self, name: &str, limit: Duration, condition: impl Fn(f64) -> bool) -> f64 {
        let deadline = Instant::now() + limit;
        loop {
            let value = self.metric(name).await;
            if condition(value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{name} is still {value}");
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Adds up the samples of one metric in the Prometheus text format.
fn sum_of(name: &str, text: &str) -> f64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    let samples = samples.filter(|rest| rest.starts_with(['{', ' ']));
    samples
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_added_up() {
        let text = "# TYPE steps counter\nsteps{engine=\"a b\"} 3\nsteps{engine=\"c\"} 4\nsteps_other 9\n";
        assert!((sum_of("steps", text) - 7.0).abs() < f64::EPSILON);
        assert!(sum_of("nothing", text).abs() < f64::EPSILON);
    }
}
