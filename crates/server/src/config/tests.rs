//! What the configuration accepts, and how it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// Loads `text` as a file named `silica.toml`.
fn load_text(text: &str, environment: &Environment) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silica.toml");
    fs::write(&path, text).unwrap();
    let prefix = format!("{}/", folder.path().display());
    load(Some(&path), environment, Overrides::default())
        .map_err(|error| error.to_string().replace(&prefix, ""))
}

fn refusal(text: &str) -> String {
    load_text(text, &Environment::default()).unwrap_err()
}

fn variable_refusal(name: &str, value: &str) -> String {
    load(None, &Environment::from([(name, value)]), Overrides::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn defaults_hold_without_file_and_environment() {
    let config = load(None, &Environment::default(), Overrides::default()).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.data.dir, Path::new("data"));
}

#[test]
fn environment_wins_over_the_file_and_the_command_line_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silica.toml");
    fs::write(
        &path,
        "[server]\nlisten = \"127.0.0.1:1\"\nshutdown_grace = \"5s\"\nmax_connections = 7\n",
    )
    .unwrap();
    let environment = Environment::from([
        ("SILICA__SERVER__LISTEN", "127.0.0.1:2"),
        ("SILICA__SERVER__SHUTDOWN_GRACE", "6s"),
        ("SILICA__ENGINE__THREADS", "3"),
        ("SILICA__CORS__ORIGINS", r#"["https://a.example"]"#),
        ("SILICA_ADMIN_KEY", "is no configuration key"),
    ]);
    let overrides = Overrides {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        data: Some(PathBuf::from("/d")),
    };
    let config = load(Some(&path), &environment, overrides).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.server.shutdown_grace.0, Duration::from_secs(6));
    assert_eq!(config.server.max_connections, 7);
    assert_eq!(config.engine.threads, Some(3));
    assert_eq!(config.cors.origins, ["https://a.example"]);
    assert_eq!(config.data.dir, Path::new("/d"));
}

#[test]
fn values_that_look_like_numbers_are_text_where_text_is_asked_for() {
    let environment = Environment::from([("SILICA__DATA__DIR", "2025")]);
    assert_eq!(
        load(None, &environment, Overrides::default()).unwrap().data.dir,
        Path::new("2025")
    );
}

#[test]
fn unknown_keys_are_refused_with_line_and_key() {
    let message = refusal("[server]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n");
    assert!(
        message.starts_with("silica.toml:3: key `server.lissten`: unknown field `lissten`, expected one of"),
        "{message}"
    );
    let message = refusal("[log]\nlevel = \"info\"\n\n[servr]\nlisten = 3\n");
    assert!(
        message.starts_with("silica.toml:4: key `servr`: unknown field `servr`"),
        "{message}"
    );
}

#[test]
fn wrong_types_are_refused_with_line_and_key() {
    let cases = [
        (
            "[engine]\n\nthreads = \"four\"\n",
            "silica.toml:3: key `engine.threads`: invalid type",
        ),
        (
            "[server]\nshutdown_grace = \"30\"\n",
            "silica.toml:2: key `server.shutdown_grace`: no duration",
        ),
        (
            "[server]\nmax_body = 5\n",
            "silica.toml:2: key `server.max_body`: invalid type",
        ),
        (
            "[errors]\ndialect = \"2024\"\n",
            "silica.toml:2: key `errors.dialect`: unknown variant",
        ),
        (
            "[server]\nlisten = \"localhost\"\n",
            "silica.toml:2: key `server.listen`: invalid socket address",
        ),
        ("engine = 3\n", "silica.toml:1: key `engine`: invalid type"),
    ];
    for (text, expected) in cases {
        let message = refusal(text);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn found_values_are_never_quoted() {
    for (text, key) in [
        ("[cors]\norigins = \"postgres://u:geheim@h/x\"\n", "cors.origins"),
        ("[engine]\nthreads = \"geheim\"\n", "engine.threads"),
        ("[engine]\ndtype = \"geheim\"\n", "engine.dtype"),
        ("[engine]\nquantize = \"geheim\"\n", "engine.quantize"),
        ("[engine]\nspeculation = \"geheim\"\n", "engine.speculation"),
        ("[server]\nmax_body = \"geheim\"\n", "server.max_body"),
        ("[server]\nidle_timeout = \"geheim\"\n", "server.idle_timeout"),
        ("[server]\nlisten = \"geheim\"\n", "server.listen"),
        ("[database]\nurl = \"geheim\"\n", "database.url"),
        ("[database]\nurl = \"postgres://u:geheim@h:x/\"\n", "database.url"),
        (
            "[telemetry]\notlp_headers = \"geheim\"\n",
            "telemetry.otlp_headers",
        ),
        ("[log]\nformat = \"geheim\"\n", "log.format"),
        ("[log]\nlevel = \"a=geheim=b\"\n", "log.level"),
        ("log = \"geheim\"\n", "log"),
    ] {
        let message = refusal(text);
        assert!(message.contains(&format!("key `{key}`")), "{message}");
        assert!(!message.contains("geheim"), "{message}");
    }
    for variable in [
        "SILICA__ENGINE__THREADS",
        "SILICA__CORS__ORIGINS",
        "SILICA__SERVER__LISTEN",
    ] {
        let message = variable_refusal(variable, "postgres://u:geheim@h/x");
        assert!(
            message.contains(variable) && !message.contains("geheim"),
            "{message}"
        );
    }
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    let message = refusal("[server]\nlisten = \"127\n");
    assert!(message.starts_with("silica.toml:2: "), "{message}");
}

#[test]
fn unusable_values_are_refused_where_they_were_set() {
    assert_eq!(
        refusal("\n[engine]\nthreads = 0\n"),
        "silica.toml:3: key `engine.threads`: must be at least 1"
    );
    for key in ["max_sequences", "max_waiting", "kv_cache_mb", "adapters_mb"] {
        assert_eq!(
            refusal(&format!("[engine]\n{key} = 0\n")),
            format!("silica.toml:2: key `engine.{key}`: must be at least 1")
        );
    }
    assert_eq!(
        variable_refusal("SILICA__ENGINE__THREADS", "0"),
        "environment variable SILICA__ENGINE__THREADS: must be at least 1"
    );
    assert!(
        refusal("[cors]\norigins = [\"example.com\"]\n")
            .starts_with("silica.toml:2: key `cors.origins`: origin \"example.com\"")
    );
    assert!(
        refusal("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy.example\"]\n")
            .starts_with("silica.toml:2: key `server.trusted_proxies`: \"proxy.example\" is not an address")
    );
    assert!(
        refusal("[database]\nurl = \"mysql://x\"\n")
            .starts_with("silica.toml:2: key `database.url`: a database url starts with")
    );
    assert!(refusal("[log]\nlevel = \"loud=yes=no\"\n").starts_with("silica.toml:2: key `log.level`"));
    assert!(refusal("[admin]\nlisten = \"127.0.0.1:8080\"\n").contains("two addresses"));
}

#[test]
fn variables_with_unknown_keys_or_wrong_types_are_named() {
    let message = variable_refusal("SILICA__SERVER__LISSTEN", "x");
    assert!(
        message.starts_with("environment variable SILICA__SERVER__LISSTEN: unknown field `lissten`"),
        "{message}"
    );
    let message = variable_refusal("SILICA__ENGINE__THREADS", "four");
    assert!(
        message.starts_with("environment variable SILICA__ENGINE__THREADS: invalid type"),
        "{message}"
    );
    let message = variable_refusal("SILICA__SERVER", "x");
    assert!(
        message.contains("must have the form SILICA__SECTION__KEY"),
        "{message}"
    );
}

#[test]
fn an_unreadable_file_is_named() {
    let error = load(
        Some(Path::new("/nowhere/silica.toml")),
        &Environment::default(),
        Overrides::default(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file /nowhere/silica.toml"
    );
}

#[test]
fn the_printed_configuration_hides_the_password_and_reads_back() {
    let environment = Environment::from([("SILICA__DATABASE__URL", "postgres://silica:geheim@db/silica")]);
    let config = load(None, &environment, Overrides::default()).unwrap();
    let printed = toml::to_string_pretty(&config).unwrap();
    assert!(!printed.contains("geheim"), "{printed}");
    assert!(!format!("{config:?}").contains("geheim"));
    let reread = load_text(&printed, &Environment::default()).unwrap();
    assert_eq!(reread.server, config.server);
}

#[test]
fn the_reference_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == reference(),
        "docs/config.md is stale: run `cargo run -p silica-server -- config --reference > docs/config.md`"
    );
}
