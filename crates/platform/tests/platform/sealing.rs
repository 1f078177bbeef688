use std::error::Error;
use std::sync::{Arc, Mutex};

use silica_platform::{
    EngineKind, MasterKey, MasterKeySource, MasterKeys, NewDeployment, NewReplica, Platform, PlatformOptions,
    Resealed, reseal_upstream_keys, unopened_key,
};
use silica_storage::deployments;
use silica_testkit::database::TestDatabase;
use silica_testkit::on_each_database;
use silica_types::{Secret, SystemClock};

use super::support::{put_chat_model, within_the_promise};

/// Keys that change under a running server, as a file does.
#[derive(Debug, Clone)]
struct KeyFile(Arc<Mutex<MasterKeys>>);

impl KeyFile {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(new_keys())))
    }

    fn set(&self, keys: MasterKeys) {
        *self.0.lock().unwrap() = keys;
    }

    fn keys(&self) -> MasterKeys {
        self.0.lock().unwrap().clone()
    }
}

impl MasterKeySource for KeyFile {
    fn read(&self) -> Result<MasterKeys, Box<dyn Error + Send + Sync>> {
        Ok(self.keys())
    }
}

fn new_keys() -> MasterKeys {
    MasterKey::random().unwrap().into()
}

async fn open_with(database: &TestDatabase, keys: &KeyFile) -> Platform {
    let options = PlatformOptions::new(Arc::new(keys.clone()));
    Platform::open_with(database.reopen().await, Arc::new(SystemClock), options)
        .await
        .unwrap()
}

fn remote(name: &str, model: &str, keys: &[&str]) -> NewDeployment {
    let replica = |(position, key): (usize, &&str)| NewReplica {
        engine: "openai".to_owned(),
        url: Some(format!("https://{position}.example/v1")),
        api_key: Some(Secret::new(*key)),
        ..NewReplica::default()
    };
    NewDeployment {
        name: name.to_owned(),
        models: vec![model.to_owned()],
        replicas: keys.iter().enumerate().map(replica).collect(),
        ..NewDeployment::default()
    }
}

async fn put(platform: &Platform, new: NewDeployment) {
    let checked = platform.check_deployment(new).unwrap();
    let stored = platform.put_deployment(checked.clone()).await.unwrap();
    assert_eq!(
        stored.replicas, checked.replicas,
        "what is in force has its keys in clear"
    );
}

/// The keys of a deployment in memory.
fn keys_of(platform: &Platform, name: &str) -> Vec<String> {
    let catalogue = platform.catalogue();
    let replicas = catalogue.deployment(name).unwrap().replicas.iter();
    let keys = replicas.filter_map(|replica| replica.api_key.as_ref());
    keys.map(|key| key.expose().to_owned()).collect()
}

/// What the column holds.
async fn column(database: &TestDatabase, name: &str) -> String {
    let found = database
        .read_text(&format!("SELECT replicas FROM deployments WHERE name = '{name}'"))
        .await;
    found.into_iter().next().unwrap()
}

on_each_database! {
    async fn database_never_has_a_key_in_clear_and_the_next_start_opens_it(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        put_chat_model(&platform, "m/a").await;
        put(&platform, remote("chat", "m/a", &["sk-geheim-1", "sk-geheim-2"])).await;
        let column = column(database, "chat").await;
        assert_eq!(column.matches("sealed:v1:").count(), 2, "{column}");
        assert!(!column.contains("geheim"), "{column}");
        let next = open_with(database, &keys).await;
        assert_eq!(keys_of(&next, "chat"), ["sk-geheim-1", "sk-geheim-2"]);
        assert!(!format!("{:?}", next.catalogue().deployments()).contains("geheim"));
    }

    async fn keys_that_an_earlier_version_stored_in_clear_are_sealed_by_the_next_start(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        put_chat_model(&platform, "m/a").await;
        put(&platform, remote("chat", "m/a", &["sk-geheim"])).await;
        let old = r#"[{"engine":"openai","url":"https://0.example/v1","api_key":"sk-old-geheim","allow_private":false,"weight":1}]"#;
        database.sabotage(&format!("UPDATE deployments SET replicas = '{old}'")).await;
        let next = open_with(database, &keys).await;
        assert_eq!(keys_of(&next, "chat"), ["sk-old-geheim"]);
        let sealed = column(database, "chat").await;
        assert!(sealed.contains("sealed:v1:") && !sealed.contains("geheim"), "{sealed}");
        // The start after that has nothing to do, and other processes nothing to read again.
        let catalogue = next.catalogue();
        assert_eq!(open_with(database, &keys).await.catalogue().deployments(), catalogue.deployments());
        assert_eq!(column(database, "chat").await, sealed);
    }

    async fn key_that_does_not_open_leaves_its_replica_and_no_more(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        for model in ["m/a", "m/b"] {
            put_chat_model(&platform, model).await;
        }
        put(&platform, remote("lost", "m/a", &["sk-geheim"])).await;
        let other = KeyFile::new();
        let next = open_with(database, &other).await;
        put(&next, remote("fine", "m/b", &["sk-b"])).await;
        let catalogue = next.catalogue();
        let lost = &catalogue.deployment("lost").unwrap().replicas[0];
        let problem = unopened_key(lost).unwrap();
        assert_eq!(problem.key_id, keys.keys().first().id());
        assert!(problem.to_string().contains("bring that key back"), "{problem}");
        assert_eq!(unopened_key(&catalogue.deployment("fine").unwrap().replicas[0]), None);
        assert_eq!(lost.engine, EngineKind::OpenAi);

        // A sealed text is never taken for a key.
        let mut again = remote("lost", "m/a", &["x"]);
        again.replicas[0].api_key.clone_from(&lost.api_key);
        let refused = next.check_deployment(again).unwrap_err().to_string();
        assert!(refused.starts_with("replicas[0].api_key: ") && !refused.contains("v1:"), "{refused}");
        // Given again, it is in force.
        put(&next, remote("lost", "m/a", &["sk-new"])).await;
        assert_eq!(keys_of(&next, "lost"), ["sk-new"]);
    }

    async fn sealed_key_that_was_moved_to_another_deployment_does_not_open(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        for model in ["m/a", "m/b"] {
            put_chat_model(&platform, model).await;
        }
        put(&platform, remote("victim", "m/a", &["sk-geheim"])).await;
        put(&platform, remote("thief", "m/b", &["sk-b"])).await;
        database
            .sabotage("UPDATE deployments SET replicas = (SELECT replicas FROM deployments WHERE name = 'victim') WHERE name = 'thief'")
            .await;
        let next = open_with(database, &keys).await;
        assert_eq!(keys_of(&next, "victim"), ["sk-geheim"]);
        assert!(unopened_key(&next.catalogue().deployment("thief").unwrap().replicas[0]).is_some());
    }

    async fn master_key_that_comes_back_opens_without_a_restart(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        put_chat_model(&platform, "m/a").await;
        put(&platform, remote("chat", "m/a", &["sk-geheim"])).await;
        let wrong = KeyFile::new();
        let next = open_with(database, &wrong).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let following = next.clone().refresh_loop(stop.clone());
        let check = async {
            wrong.set(keys.keys());
            within_the_promise(async || keys_of(&next, "chat") == ["sk-geheim"]).await;
            stop.cancel();
        };
        tokio::join!(following, check);
    }

    /// A rotation adds the new key to the file, seals anew, and removes the old key. It is cut
    /// before, between and after these steps.
    async fn rotation_that_is_cut_after_any_step_leaves_every_key_readable(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        put_chat_model(&platform, "m/a").await;
        put(&platform, remote("chat", "m/a", &["sk-geheim", "sk-two"])).await;
        for cut_after in 1..=3 {
            let old = keys.keys();
            let new = new_keys();
            let both = old.behind(&new);
            keys.set(both.clone());
            if cut_after >= 2 {
                let done = reseal_upstream_keys(&database.storage(), &both).await.unwrap();
                assert_eq!(done, Resealed { keys: 2, unopened: Vec::new() });
            }
            if cut_after >= 3 {
                keys.set(both.only_first());
            }
            let next = open_with(database, &keys).await;
            assert_eq!(keys_of(&next, "chat"), ["sk-geheim", "sk-two"], "cut after step {cut_after}");
            // And what is put then is readable after the rotation that follows.
            put(&next, remote("chat", "m/a", &["sk-geheim", "sk-two"])).await;
        }
        let id = keys.keys().first().id().to_owned();
        assert_eq!(column(database, "chat").await.matches(&id).count(), 2);
        assert_eq!(keys.keys().text().expose().lines().count(), 1, "no old key is left");
    }

    async fn rotation_beside_a_running_server_takes_nothing_from_it(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        put_chat_model(&platform, "m/a").await;
        put(&platform, remote("chat", "m/a", &["sk-geheim"])).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let following = platform.clone().refresh_loop(stop.clone());
        let check = async {
            let mut seen = platform.subscribe();
            let both = keys.keys().behind(&new_keys());
            keys.set(both.clone());
            reseal_upstream_keys(&database.storage(), &both).await.unwrap();
            keys.set(both.only_first());
            // A change that comes after the rotation shows that the server has read past it.
            let other = open_with(database, &keys).await;
            put_chat_model(&other, "m/b").await;
            within_the_promise(async || platform.catalogue().model("m/b").is_some()).await;
            assert_eq!(keys_of(&platform, "chat"), ["sk-geheim"]);
            seen.mark_unchanged();
            // What it seals now, it seals with the new key.
            put(&platform, remote("chat", "m/a", &["sk-next"])).await;
            assert!(column(database, "chat").await.contains(both.first().id()));
            stop.cancel();
        };
        tokio::join!(following, check);
    }

    async fn rotation_that_a_server_was_not_told_of_leaves_it_the_keys_in_memory(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        put_chat_model(&platform, "m/a").await;
        put(&platform, remote("chat", "m/a", &["sk-geheim"])).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let following = platform.clone().refresh_loop(stop.clone());
        let check = async {
            let elsewhere = KeyFile::new();
            let both = keys.keys().behind(&elsewhere.keys());
            reseal_upstream_keys(&database.storage(), &both).await.unwrap();
            put_chat_model(&open_with(database, &elsewhere).await, "m/b").await;
            within_the_promise(async || platform.catalogue().model("m/b").is_some()).await;
            assert_eq!(keys_of(&platform, "chat"), ["sk-geheim"]);
            stop.cancel();
        };
        tokio::join!(following, check);
    }

    async fn rotation_names_the_keys_that_open_with_nothing_and_leaves_them(database) {
        let keys = KeyFile::new();
        let platform = open_with(database, &keys).await;
        for model in ["m/a", "m/b"] {
            put_chat_model(&platform, model).await;
        }
        put(&platform, remote("lost", "m/a", &["sk-geheim"])).await;
        let before = column(database, "lost").await;
        let other = KeyFile::new();
        put(&open_with(database, &other).await, remote("fine", "m/b", &["sk-b"])).await;
        let both = other.keys().behind(&new_keys());
        let done = reseal_upstream_keys(&database.storage(), &both).await.unwrap();
        assert_eq!((done.keys, done.unopened.len()), (1, 1));
        assert!(done.unopened[0].starts_with("lost, replicas[0]: "), "{:?}", done.unopened);
        assert_eq!(column(database, "lost").await, before);
    }

    async fn storage_refuses_to_write_a_key_in_clear(database) {
        let platform = open_with(database, &KeyFile::new()).await;
        put_chat_model(&platform, "m/a").await;
        let checked = platform.check_deployment(remote("chat", "m/a", &["sk-geheim"])).unwrap();
        let write = database.storage().begin(silica_storage::Scope::Catalogue).await.unwrap();
        let refused = deployments::put(&write, &checked).await.unwrap_err();
        assert!(!format!("{refused:?}").contains("geheim"), "{refused:?}");
    }
}
