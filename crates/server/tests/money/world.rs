//! What the clients share: where the server is now, the accounts, and what was seen.

use std::sync::Mutex;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream};
use tokio::sync::watch;

use crate::client::Seen;
use crate::nano::nano;
use crate::plan::MODELS;

/// Everything that the audit needs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) http: reqwest::Client,
    pub(crate) upstream: Upstream,
    pub(crate) accounts: Vec<Account>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) credits: Mutex<Vec<Credit>>,
    /// When the server was killed, just before.
    pub(crate) kills: Mutex<Vec<Instant>>,
    admin_key: String,
    /// Of each server.
    addresses: watch::Sender<Vec<Option<Address>>>,
}

/// Where a running server is.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) public: String,
    pub(crate) admin: String,
}

/// An account with its key.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// Money that an account was given.
#[derive(Debug, Clone)]
pub(crate) struct Credit {
    pub(crate) account: usize,
    pub(crate) bucket: &'static str,
    pub(crate) nano: i64,
}

/// The account whose key may not spend more than [`CAP`] in a month.
pub(crate) const CAPPED: usize = 4;
pub(crate) const CAP: &str = "0.05";

/// What each account gets at first, from rich to penniless, and the capped one at the end: bucket,
/// amount, the end of a voucher.
const PURSES: [&[(&str, &str, Option<&str>)]; 5] = [
    &[
        ("voucher", "0.02", Some("2199-01-01T00:00:00Z")),
        ("voucher", "0.01", Some("2198-01-01T00:00:00Z")),
        ("gift", "0.03", None),
        ("charge", "100", None),
    ],
    &[
        ("voucher", "0.005", Some("2199-01-01T00:00:00Z")),
        ("gift", "0.005", None),
        ("charge", "0.02", None),
    ],
    &[("charge", "0.000000001", None)],
    &[],
    &[("charge", "100", None)],
];

impl World {
    /// Fills a new server with models, accounts and money.
    pub(crate) async fn new(server: &TestServer) -> Self {
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_mins(1))
            .build()
            .expect("an HTTP client");
        let mut world = Self {
            http,
            upstream: Upstream::start().await,
            accounts: Vec::new(),
            seen: Mutex::default(),
            credits: Mutex::default(),
            kills: Mutex::default(),
            admin_key: server.admin_key(),
            addresses: watch::Sender::new(vec![Some(address_of(server))]),
        };
        world.put_models().await;
        for position in 0..PURSES.len() {
            let account = world.new_account(position).await;
            world.accounts.push(account);
        }
        for (account, purse) in PURSES.iter().enumerate() {
            for (number, &(bucket, amount, end)) in purse.iter().enumerate() {
                let key = format!("first-{account}-{number}");
                world.give(account, bucket, amount, end, &key).await;
            }
        }
        world
    }

    /// Tells the clients where a server is; `None` while there is none.
    pub(crate) fn move_to(&self, place: usize, server: Option<&TestServer>) {
        self.addresses.send_modify(|addresses| {
            addresses.resize(addresses.len().max(place + 1), None);
            addresses[place] = server.map(address_of);
        });
    }

    /// Waits for the server of a client and returns its address; they share all that there are.
    pub(crate) async fn address(&self, client: u64) -> Address {
        let mut addresses = self.addresses.subscribe();
        let of_client = |addresses: &[Option<Address>]| {
            let place = usize::try_from(client).expect("a client") % addresses.len();
            addresses[place].clone()
        };
        let there = addresses
            .wait_for(|addresses| of_client(addresses).is_some())
            .await;
        of_client(&there.expect("the world stands")).expect("an address")
    }

    /// Asks the operator's endpoint; `None` when the server went away meanwhile.
    pub(crate) async fn try_admin(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency: &str,
    ) -> Option<(u16, Value)> {
        let url = format!("{}/admin/v1{path}", self.address(0).await.admin);
        let request = self.http.request(method, url).bearer_auth(&self.admin_key);
        let request = match body {
            Some(body) => request.json(body).header("idempotency-key", idempotency),
            None => request,
        };
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// `GET` of the operator's endpoint, which must answer well.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.try_admin(Method::GET, path, None, "").await;
        let (status, body) = answer.expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Gives an account money, once, however often the server goes away in between.
    pub(crate) async fn give(
        &self,
        account: usize,
        bucket: &'static str,
        amount: &str,
        end: Option<&str>,
        key: &str,
    ) {
        let path = format!("/accounts/{}/credits", self.accounts[account].id);
        let mut body = json!({"bucket": bucket, "amount": amount});
        if let Some(end) = end {
            body["expires_at"] = json!(end);
        }
        loop {
            match self.try_admin(Method::POST, &path, Some(&body), key).await {
                Some((status, _)) if (200..300).contains(&status) => break,
                // The operator tries again with the same key, as one does.
                None | Some((500..600, _)) => {}
                Some((status, answer)) => panic!("{bucket} {amount}: {status} {answer}"),
            }
        }
        let nano = nano(amount);
        self.credits.lock().unwrap().push(Credit {
            account,
            bucket,
            nano,
        });
    }

    async fn put_models(&self) {
        for model in &MODELS {
            self.put("/models", &model.body()).await;
        }
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        let deployment = json!({"name": "money", "models": names, "replicas": [{
            "engine": "openai",
            "url": self.upstream.base_url(),
            "upstream_model": "scripted",
            "allow_private": true,
            "api_key": "sk-upstream",
        }]});
        self.put("/deployments", &deployment).await;
    }

    async fn put(&self, path: &str, body: &Value) {
        self.post(Method::PUT, path, body).await;
    }

    async fn post(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.try_admin(method, path, Some(body), "").await;
        let (status, answer) = answer.expect("an answer");
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    async fn new_account(&self, position: usize) -> Account {
        let person = json!({"email": format!("client{position}@example.com"), "name": "client"});
        let account = self.post(Method::POST, "/accounts", &person).await;
        let id = account["id"].as_str().expect("an id").to_owned();
        let path = format!("/accounts/{id}/keys");
        let limits = if position == CAPPED {
            json!({"monthly_spend": CAP})
        } else {
            json!({})
        };
        let key = json!({"description": "money", "limits": limits});
        let key = self.post(Method::POST, &path, &key).await;
        let key = key["key"].as_str().expect("a key").to_owned();
        Account { id, key }
    }
}

fn address_of(server: &TestServer) -> Address {
    Address {
        public: server.base_url().to_owned(),
        admin: server.admin_url().to_owned(),
    }
}
