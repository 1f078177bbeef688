//! Starts that must fail, each with one line that says what to mend.

use std::net::TcpListener;

use silica_testkit::{Refused, ServerBuilder};

use crate::support::bare;

/// Starts, expects a refusal, and returns the one line that says why.
async fn reason(builder: ServerBuilder) -> String {
    let Refused {
        status,
        stdout,
        stderr,
        ..
    } = builder.refused().await;
    assert!(!status.success());
    assert_eq!(stdout, "", "nothing was set up");
    let complaints: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("silica: "))
        .collect();
    let [complaint] = complaints[..] else {
        panic!("not one line: {stderr}")
    };
    complaint.to_owned()
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_line() {
    let reason = reason(bare().config("[server]\nmax_connections = 9\nlissten = \"127.0.0.1:0\"\n")).await;
    assert!(
        reason.contains("silica.toml:3: key `server.lissten`: unknown field"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_wrong_type_is_named_with_its_line() {
    let reason = reason(bare().config("[engine]\nthreads = \"many\"\n")).await;
    assert!(
        reason.contains("silica.toml:2: key `engine.threads`: invalid type"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_wrong_variable_is_named() {
    let reason = reason(bare().environment("SILICA__SERVER__PORT", "80")).await;
    assert!(
        reason.contains("environment variable SILICA__SERVER__PORT: unknown field `port`"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_missing_configuration_file_is_named() {
    let reason = reason(bare().argument("--config").argument("/nowhere.toml")).await;
    assert!(
        reason.contains("cannot read the configuration file /nowhere.toml: No such file"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_busy_port_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let reason = reason(bare().environment("SILICA__ADMIN__LISTEN", &*address)).await;
    assert!(
        reason.contains(&format!(
            "cannot listen on {address} (admin.listen): Address already in use"
        )),
        "{reason}"
    );
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_named() {
    let reason = reason(bare().data_is_a_file()).await;
    assert!(reason.contains("cannot use the data folder "), "{reason}");
}

#[tokio::test]
async fn a_short_admin_key_is_refused_without_being_shown() {
    let reason = reason(bare().environment("SILICA_ADMIN_KEY", "geheim")).await;
    assert!(
        reason.contains("SILICA_ADMIN_KEY: the admin key has 6 characters"),
        "{reason}"
    );
    assert!(!reason.contains("geheim"));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_named_without_its_password() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let url = format!("postgres://silica:geheim@{address}/silica");
    let reason = reason(bare().environment("SILICA__DATABASE__URL", url)).await;
    assert!(
        reason.contains(&format!("database postgres://silica:***@{address}/silica")),
        "{reason}"
    );
    assert!(!reason.contains("geheim"));
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_named_with_their_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ca.pem");
    let setting = format!("[gateway]\nupstream_ca_file = {:?}\n", file.display().to_string());
    let missing = reason(bare().config(&setting)).await;
    assert!(
        missing.contains("gateway.upstream_ca_file") && missing.contains("ca.pem cannot be read"),
        "{missing}"
    );
    std::fs::write(&file, "no certificate").expect("a file");
    let unusable = reason(bare().config(&setting)).await;
    assert!(
        unusable.contains("ca.pem has no usable certificates"),
        "{unusable}"
    );
}
