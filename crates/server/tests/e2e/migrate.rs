//! `silica migrate`: an installation goes on, on another database, as if nothing had happened.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{Stopped, TestServer, Upstream, database, ledger_discrepancies};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::{bare, body};
use crate::till::{
    CALL_COST, Customer, FREE, PAID, booked, complete, complete_many, credit, customer, get, open_shop,
    own_balance, post, put,
};

/// Has an upstream key, which is sealed in the database.
const REMOTE: &str = "test/remote";
const UPSTREAM_KEY: &str = "upstream-key-geheim";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silica"));
    command
        .arg("migrate")
        .args(arguments)
        .env_clear()
        .kill_on_drop(true);
    command
}

/// Runs the command; returns whether it went well, its standard output and its standard error.
async fn migrate(arguments: &[&str]) -> (bool, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(arguments).output().await.expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.success(), text(&stdout), text(&stderr))
}

/// Moves the database of a data folder.
async fn migrate_folder(data: &Path, to: &str) -> (bool, String, String) {
    let from = format!("sqlite:{}", data.join("silica.db").display());
    migrate(&["--from", &from, "--to", to]).await
}

/// Customers with balances of every kind, calls, a bought level, a key of an engine elsewhere.
async fn open_business(server: &TestServer, upstream: &Upstream) -> Vec<Customer> {
    open_shop(server, upstream).await;
    put(
        server,
        "/models",
        &json!({"id": REMOTE, "type": "text", "sub_type": "chat"}),
    )
    .await;
    let replica = json!({"engine": "openai", "url": upstream.base_url(), "api_key": UPSTREAM_KEY,
        "upstream_model": "scripted", "allow_private": true});
    put(
        server,
        "/deployments",
        &json!({"name": "remote", "models": [REMOTE], "replicas": [replica]}),
    )
    .await;
    let mut customers = Vec::new();
    for (name, charge) in [("ada", "1000.123456789"), ("bob", "50.5")] {
        let who = customer(server, name, charge).await;
        credit(server, &who, &json!({"bucket": "gift", "amount": "0.030000001"})).await;
        customers.push(who);
    }
    let voucher = json!({"bucket": "voucher", "amount": "0.05", "expires_at": "2100-01-01T00:00:00Z"});
    credit(server, &customers[1], &voucher).await;
    let package = format!("/accounts/{}/level-packages", customers[0].account);
    post(server, &package, &json!({"level": "L2"})).await;
    for (who, name) in customers.iter().zip(["ada", "bob"]) {
        let mut markers = complete_many(server, &who.key, PAID, &format!("{name}-paid"), 8).await;
        markers.extend(complete_many(server, &who.key, FREE, &format!("{name}-free"), 3).await);
        markers.extend(complete_many(server, &who.key, REMOTE, &format!("{name}-remote"), 2).await);
        assert_eq!(markers.len(), 13);
    }
    customers
}

/// All that operator and customers can see of the state.
async fn seen(server: &TestServer, customers: &[Customer]) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "/accounts?limit=100",
        "/models?limit=100",
        "/deployments?limit=100",
        "/prices?limit=100",
    ] {
        let (status, found) = server.admin(Method::GET, path, None).await;
        seen.push(json!([path, status, found]));
    }
    for who in customers {
        let of_account = |rest: &str| format!("/accounts/{}{rest}", who.account);
        for path in [
            "",
            "/keys",
            "/level-packages",
            "/ledger?limit=100",
            "/bills?group_by=model",
        ] {
            let (status, found) = server.admin(Method::GET, &of_account(path), None).await;
            seen.push(json!([path, status, found]));
        }
        for path in ["/v1/user/info", "/v1/models", "/v1/user/bills"] {
            let answer = server.get(path, &who.key).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            seen.push(body(answer).await);
        }
        seen.push(own_balance(server, &who.key).await.into());
    }
    seen
}

/// A business on SQLite whose server has ended, with what was seen of it.
async fn closed_business(upstream: &Upstream) -> (Stopped, PathBuf, Vec<Customer>, Vec<Value>) {
    let server = bare().start().await;
    let customers = open_business(&server, upstream).await;
    for who in &customers {
        let path = format!("/accounts/{}/ledger?limit=100", who.account);
        let deadline = std::time::Instant::now() + Duration::from_secs(40);
        while calls(&get(&server, &path).await) < 13 {
            assert!(std::time::Instant::now() < deadline, "the calls are booked");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    let seen = seen(&server, &customers).await;
    let data = server.data().to_owned();
    (server.stop().await, data, customers, seen)
}

fn calls(page: &Value) -> usize {
    let rows = page["data"].as_array().expect("a list").iter();
    rows.filter(|row| row["kind"] == "call" && row["position"] == 0)
        .count()
}

#[tokio::test]
async fn an_installation_goes_on_on_postgres_with_the_same_keys_balances_and_bills() {
    let upstream = Upstream::start().await;
    let (stopped, data, customers, before) = closed_business(&upstream).await;
    let target = database::empty_postgres().await;

    let (is_good, said, progress) = migrate_folder(&data, target.url_text()).await;
    assert!(is_good, "{said}{progress}");
    for part in [
        "accounts",
        "ledger",
        "balances of 2 gift buckets",
        "is moved to postgres://",
        "master-key",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(
        !said.contains("DIFFERENT") && progress.contains("moving ledger: "),
        "{said}{progress}"
    );
    let password = target.url_text().split([':', '@']).nth(2).expect("a password");
    assert!(!said.contains(password) && !progress.contains(password));
    let (is_good, said, _) = migrate_folder(&data, target.url_text()).await;
    assert!(is_good && said.contains("Nothing to do"), "{said}");

    let server = bare()
        .environment("SILICA__DATABASE__URL", target.url_text())
        .data_of(stopped)
        .start()
        .await;
    assert!(!server.stdout().contains("sk-"), "no first start");
    assert_eq!(seen(&server, &customers).await, before);
    // Life goes on: calls with the sealed key, a new price, the balance to the nano.
    let [ada, _] = &customers[..] else { panic!() };
    let balance = own_balance(&server, &ada.key).await;
    complete(&server, &ada.key, REMOTE, "after-remote", false).await;
    let requests = upstream.requests();
    let last = requests.last().expect("a call reached the upstream");
    assert_eq!(
        last.header("authorization"),
        Some(&*format!("Bearer {UPSTREAM_KEY}"))
    );
    complete(&server, &ada.key, PAID, "after-paid", true).await;
    assert_eq!(own_balance(&server, &ada.key).await, balance - CALL_COST);
    let price = json!({"id": PAID, "type": "text", "sub_type": "chat", "price": {"input": "3"}});
    put(&server, "/models", &price).await;
    let newcomer = customer(&server, "newcomer", "1").await;
    let marker = complete_many(&server, &newcomer.key, PAID, "new", 2).await;
    booked(&server, &newcomer, &marker).await;
    let stopped = server.stop().await;
    let storage = target.open().await;
    assert_eq!(ledger_discrepancies(&storage).await, Vec::<String>::new());
    storage.close().await.unwrap();

    // The old database is not moved over the new one, which has gone on.
    let (is_good, said, reason) = migrate_folder(&data, target.url_text()).await;
    assert!(
        !is_good && reason.contains("holds other rows than the source"),
        "{reason}"
    );
    assert!(said.contains("DIFFERENT"), "{said}");
    drop(stopped);
}

#[tokio::test]
async fn a_running_server_and_calls_that_are_not_booked_are_refused() {
    let upstream = Upstream::start().await;
    let database = database::sqlite().await;
    let server = bare()
        .environment("SILICA__DATABASE__URL", database.url_text())
        .start()
        .await;
    open_shop(&server, &upstream).await;
    let who = customer(&server, "waiting", "100").await;
    let held = database.hold_ledger().await;
    complete(&server, &who.key, PAID, "waits", false).await;
    let data = server.data().display().to_string();
    let target = database::empty_postgres().await;
    let arguments = [
        "--from",
        database.url_text(),
        "--to",
        target.url_text(),
        "--data",
        &data,
    ];

    let (is_good, _, reason) = migrate(&arguments).await;
    assert!(
        !is_good && reason.contains("a server uses the data folder"),
        "{reason}"
    );
    let stopped = server.stop().await;
    held.release().await;
    let (is_good, _, reason) = migrate(&arguments).await;
    assert!(
        !is_good && reason.contains("1 settled calls wait in the usage journal"),
        "{reason}"
    );

    // As the text says: once started and stopped, the call is in the database, and moves with it.
    let server = bare()
        .environment("SILICA__DATABASE__URL", database.url_text())
        .data_of(stopped)
        .start()
        .await;
    booked(&server, &who, &["waits".to_owned()]).await;
    let stopped = server.stop().await;
    let (is_good, _, reason) = migrate(&arguments).await;
    assert!(
        !is_good && reason.contains("another process uses the database"),
        "{reason}"
    );
    database.storage().close().await.unwrap();
    let (is_good, said, reason) = migrate(&arguments).await;
    assert!(is_good, "{said}{reason}");
    let server = bare()
        .environment("SILICA__DATABASE__URL", target.url_text())
        .data_of(stopped)
        .start()
        .await;
    booked(&server, &who, &["waits".to_owned()]).await;
}

#[tokio::test]
async fn a_move_that_is_killed_leaves_nothing_and_the_same_command_runs_again() {
    let upstream = Upstream::start().await;
    let (_stopped, data, ..) = closed_business(&upstream).await;
    // Has its tables already, so that somebody can be in the way.
    let target = database::postgres().await;
    let held = target.hold_ledger().await;
    let from = format!("sqlite:{}", data.join("silica.db").display());
    let mut running = command(&["--from", &from, "--to", target.url_text()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut lines = BufReader::new(running.stderr.take().expect("its output")).lines();
    while let Some(line) = lines.next_line().await.expect("a line") {
        if line.starts_with("moving bucket_days") {
            break;
        }
    }
    // It waits for the ledger, with most of the tables copied.
    assert!(running.try_wait().expect("its status").is_none());
    running.kill().await.expect("it is killed");
    held.release().await;
    let rows = "SELECT email FROM accounts UNION ALL SELECT id::text FROM buckets";
    assert!(target.read_text(rows).await.is_empty());

    let (is_good, said, reason) = migrate_folder(&data, target.url_text()).await;
    assert!(is_good && said.contains("is moved to"), "{said}{reason}");
    assert_eq!(target.read_text("SELECT email FROM accounts").await.len(), 3);
    assert_eq!(
        ledger_discrepancies(&target.storage()).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn refusals_name_the_reason_and_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("new.db");
    let to = format!("sqlite:{}", target.display());
    for (from, to, reason) in [
        (
            "sqlite:/nowhere/silica.db",
            to.as_str(),
            "there is no such database",
        ),
        (
            "mysql://u:geheim@host/db",
            &to,
            "--from: a database url starts with",
        ),
        (
            "sqlite:/nowhere/silica.db",
            "postgres://u:geheim@host:x/db",
            "--to: malformed",
        ),
    ] {
        let (is_good, _, said) = migrate(&["--from", from, "--to", to]).await;
        assert!(
            !is_good && said.contains(reason) && !said.contains("geheim"),
            "{said}"
        );
    }
    let (is_good, _, said) = migrate(&["--from", "sqlite:a.db"]).await;
    assert!(!is_good && said.contains("--to"), "{said}");
    assert!(!target.exists());
}
