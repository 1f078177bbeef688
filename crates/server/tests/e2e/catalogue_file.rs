//! Models and deployments from a file: at start, when it changes, and when it is not good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{ServerBuilder, Signal, TestServer, Upstream};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::{SOON, bare};

const MODEL_ID: &str = "test/scripted";

/// A catalogue file in a folder of its own.
struct Catalogue {
    _folder: TempDir,
    path: PathBuf,
}

impl Catalogue {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("catalogue.toml");
        fs::write(&path, text).expect("the catalogue file");
        Self {
            _folder: folder,
            path,
        }
    }

    /// Replaces the text in one step, as careful tools do.
    fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).expect("the new text");
        fs::rename(&new, &self.path).expect("the new text in its place");
    }

    fn server(&self) -> ServerBuilder {
        bare().environment("SILICA__CATALOGUE__FILE", self.path.display().to_string())
    }
}

/// A model, and a deployment of it at an upstream.
fn text(deployment: &str, url: &str) -> String {
    format!(
        "[[models]]\nid = \"{MODEL_ID}\"\ntype = \"text\"\nsub_type = \"chat\"\n\n\
         [[deployments]]\nname = \"{deployment}\"\nmodels = [\"{MODEL_ID}\"]\n\n\
         [[deployments.replicas]]\nengine = \"openai\"\nurl = \"{url}\"\nallow_private = true\n\
         api_key_env = \"TEST_UPSTREAM_KEY\"\n"
    )
}

fn hello() -> Value {
    json!({ "model": MODEL_ID, "messages": [{ "role": "user", "content": "Hello" }] })
}

/// The names of the deployments in force.
async fn deployments(server: &TestServer) -> Vec<String> {
    let (status, body) = server.admin(Method::GET, "/deployments", None).await;
    assert_eq!(status, 200, "{body}");
    let list = body["data"].as_array().or(body.as_array()).expect("a list");
    let names = list.iter().map(|deployment| deployment["name"].as_str());
    names.map(|name| name.expect("a name").to_owned()).collect()
}

async fn until_deployed(server: &TestServer, names: &[&str]) {
    let deadline = Instant::now() + SOON;
    while deployments(server).await != names {
        assert!(Instant::now() < deadline, "not deployed: {names:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn until_logged(server: &TestServer, text: &str) {
    let deadline = Instant::now() + SOON;
    while !server.log().contains(text) {
        assert!(Instant::now() < deadline, "not logged: {text}\n{}", server.log());
        sleep(Duration::from_millis(10)).await;
    }
}

/// The status of `silica config --check` and what it said.
fn check(path: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_silica"))
        .args(["config", "--check"])
        .env_clear()
        .env("SILICA__CATALOGUE__FILE", path)
        .env("TEST_UPSTREAM_KEY", "sk-upstream")
        .output()
        .expect("the command runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("a text"))
}

/// Chats without pause until `stop`; counts the answers.
async fn chat_until(server: Arc<TestServer>, stop: Arc<AtomicBool>, answers: Arc<AtomicU32>, stream: bool) {
    let key = server.api_key();
    let mut body = hello();
    body["stream"] = stream.into();
    while !stop.load(Ordering::Relaxed) {
        let response = server.chat(&key, &body).await;
        let status = response.status();
        let answer = response.text().await.expect("a whole answer");
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(stream, answer.ends_with("data: [DONE]\n\n"), "{answer}");
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_the_file_under_load_fail_no_request() {
    let (left, right) = (Upstream::start().await, Upstream::start().await);
    let catalogue = Catalogue::new(&text("left", &left.base_url()));
    let server = catalogue.server().environment("TEST_UPSTREAM_KEY", "sk-upstream");
    let server = Arc::new(server.start().await);
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = [false, true, false, true]
        .into_iter()
        .map(|stream| {
            let chats = chat_until(
                Arc::clone(&server),
                Arc::clone(&stop),
                Arc::clone(&answers),
                stream,
            );
            #[expect(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(chats)
        })
        .collect();
    for round in 0..20 {
        let (name, upstream) = if round % 2 == 0 {
            ("right", &right)
        } else {
            ("left", &left)
        };
        catalogue.write(&text(name, &upstream.base_url()));
        server.signal(Signal::Hangup);
        until_deployed(&server, &[name]).await;
        // Calls go on in each state, so that every change has calls on both sides.
        let seen = upstream.calls().len();
        let deadline = Instant::now() + SOON;
        while upstream.calls().len() < seen + 8 {
            assert!(Instant::now() < deadline, "no calls in round {round}");
            sleep(Duration::from_millis(5)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request failed");
    }
    let answered = answers.load(Ordering::Relaxed) as usize;
    assert_eq!(left.calls().len() + right.calls().len(), answered);
}

#[tokio::test]
async fn a_change_is_seen_without_a_signal_and_a_bad_one_keeps_the_last_good() {
    let (left, right) = (Upstream::start().await, Upstream::start().await);
    let catalogue = Catalogue::new(&text("left", &left.base_url()));
    let server = catalogue
        .server()
        .environment("TEST_UPSTREAM_KEY", "sk-upstream")
        .start()
        .await;
    let good = "silica_catalogue_file_good";
    assert!(server.metric(good).await > 0.5);
    let key = server.api_key();
    assert_eq!(server.chat(&key, &hello()).await.status(), StatusCode::OK);
    assert_eq!(left.calls().len(), 1);

    for (change, complaint) in [
        (
            ("name = \"left\"", "nam = \"left\""),
            "catalogue.toml:7: deployments[0].nam: ",
        ),
        (
            ("engine = \"openai\"", "engine = \"none\""),
            "catalogue.toml:11: deployments[0].replicas[0].engine: ",
        ),
        (
            ("TEST_UPSTREAM_KEY", "NO_SUCH_KEY"),
            "catalogue.toml:14: deployments[0].replicas[0].api_key_env: ",
        ),
        (
            ("models = [\"test/scripted\"]", "models = [\"test/other\"]"),
            "catalogue.toml:8: deployments[0].models[0]: ",
        ),
        (
            ("url = ", "url = \"http://169.254.169.254/\" #"),
            "catalogue.toml:10: deployment \"right\", replica 0",
        ),
        (("sub_type = \"chat\"", "sub_type ="), "catalogue.toml:4: "),
    ] {
        let deployment = if complaint.contains("right") {
            "right"
        } else {
            "left"
        };
        let bad = text(deployment, &right.base_url()).replace(change.0, change.1);
        let bad = if deployment == "right" {
            bad.replace("allow_private = true\n", "")
        } else {
            bad
        };
        catalogue.write(&bad);
        until_logged(&server, complaint).await;
        assert!(server.metric(good).await < 0.5, "{complaint}");
        assert_eq!(deployments(&server).await, ["left"]);
    }
    assert_eq!(server.chat(&key, &hello()).await.status(), StatusCode::OK);
    assert_eq!((left.calls().len(), right.calls().len()), (2, 0));

    catalogue.write(&text("left", &right.base_url()));
    server.metric_until(good, SOON, |value| value > 0.5).await;
    assert_eq!(server.chat(&key, &hello()).await.status(), StatusCode::OK);
    assert_eq!((left.calls().len(), right.calls().len()), (2, 1));
    assert!(!server.log().contains("sk-upstream"), "a key is in the log");
}

#[tokio::test]
async fn what_the_file_names_is_the_files_and_what_it_drops_goes() {
    let upstream = Upstream::start().await;
    let catalogue = Catalogue::new(&text("one", &upstream.base_url()));
    let server = catalogue
        .server()
        .environment("TEST_UPSTREAM_KEY", "sk-upstream")
        .start()
        .await;
    let model = |id: &str| json!({ "id": id, "type": "text", "sub_type": "chat" });
    let deployment = |name: &str, model: &str| {
        json!({ "name": name, "models": [model], "replicas": [
            { "engine": "openai", "url": upstream.base_url(), "allow_private": true }] })
    };
    for (path, body) in [
        ("/models", model(MODEL_ID)),
        ("/deployments", deployment("one", MODEL_ID)),
    ] {
        let (status, body) = server.admin(Method::PUT, path, Some(&body)).await;
        assert_eq!(status, 409, "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(
            message.contains(&catalogue.path.display().to_string()),
            "{message}"
        );
    }
    assert_eq!(
        server.admin(Method::DELETE, "/deployments/one", None).await.0,
        409
    );
    assert_eq!(
        server
            .admin(Method::PUT, "/models", Some(&model("test/own")))
            .await
            .0,
        200
    );
    let own = deployment("own", "test/own");
    assert_eq!(server.admin(Method::PUT, "/deployments", Some(&own)).await.0, 200);
    until_deployed(&server, &["one", "own"]).await;

    catalogue.write("# nothing\n");
    until_deployed(&server, &["own"]).await;
    let refused = server.chat(&server.api_key(), &hello()).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_bad_file_keeps_a_first_start_from_starting_and_a_later_one_on_the_last_good() {
    let upstream = Upstream::start().await;
    let catalogue = Catalogue::new("[[models]]\nid = 5\n");
    let refused = catalogue.server().refused().await;
    let line = refused.stderr.lines().last().unwrap_or_default();
    assert!(line.contains("catalogue.toml:2: models[0].id: "), "{line}");
    assert!(!refused.stdout.contains("sk-"), "no key was made");

    let server = || catalogue.server().environment("TEST_UPSTREAM_KEY", "sk-upstream");
    catalogue.write(&text("one", &upstream.base_url()));
    let first = server().data_of(refused.data).start().await;
    let key = first.api_key();
    let data = first.stop().await;
    catalogue.write("[[models]]\nid = 5\n");
    let second = server().data_of(data).start().await;
    assert!(second.metric("silica_catalogue_file_good").await < 0.5);
    assert!(second.log().contains("last good"), "{}", second.log());
    assert_eq!(second.chat(&key, &hello()).await.status(), StatusCode::OK);

    // Without the file, what came from it belongs to the operator.
    let data = second.stop().await;
    let third = bare().data_of(data).start().await;
    assert_eq!(third.chat(&key, &hello()).await.status(), StatusCode::OK);
    assert_eq!(third.admin(Method::DELETE, "/deployments/one", None).await.0, 204);
}

#[test]
fn a_file_can_be_checked_without_a_server() {
    let catalogue = Catalogue::new(&text("one", "http://127.0.0.1:1/v1"));
    let (is_good, said) = check(&catalogue.path);
    assert!(is_good && said.contains("1 models, 1 deployments"), "{said}");
    catalogue.write(&text("one", "ftp://127.0.0.1/"));
    let (is_good, said) = check(&catalogue.path);
    assert!(
        !is_good && said.contains("catalogue.toml:12: deployments[0].replicas[0].url: "),
        "{said}"
    );
    let (is_good, said) = check(Path::new("/nowhere/catalogue.toml"));
    assert!(!is_good && said.contains("/nowhere/catalogue.toml"), "{said}");
}
