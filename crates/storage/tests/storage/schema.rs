use std::io::ErrorKind;

use sea_orm::{ConnectionTrait, Database, DbBackend, DbErr, RuntimeErr, Statement, sqlx};
use silica_storage::{DatabaseUrl, Storage, StorageError};
use silica_testkit::database;

#[tokio::test]
async fn sqlite_has_no_column_of_floating_type() {
    let database = database::sqlite().await;
    let connection = Database::connect(database.url_text()).await.unwrap();
    let sql = "SELECT m.name AS table_name, c.name AS column_name, c.type AS column_type \
               FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
    let rows = connection
        .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await
        .unwrap();
    assert!(rows.len() > 40, "the query sees the columns");
    for row in rows {
        let kind: String = row.try_get("", "column_type").unwrap();
        let column: String = row.try_get("", "column_name").unwrap();
        let floating = ["REAL", "FLOA", "DOUB", "DECIMAL", "NUMERIC"]
            .iter()
            .any(|part| kind.to_uppercase().contains(part));
        assert!(!floating, "{column} is {kind}");
    }
}

#[tokio::test]
async fn sqlite_runs_in_wal_mode_with_foreign_keys() {
    let database = database::sqlite().await;
    let connection = Database::connect(database.url_text()).await.unwrap();
    let row = connection
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, "PRAGMA journal_mode"))
        .await
        .unwrap();
    assert_eq!(row.unwrap().try_get::<String>("", "journal_mode").unwrap(), "wal");
}

#[cfg(unix)]
#[tokio::test]
async fn sqlite_files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let database = database::sqlite().await;
    let file = database.url().sqlite_path().unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", file.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn sqlite_files_that_others_can_read_are_tightened_on_opening() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    let database = database::sqlite().await;
    let file = database.url().sqlite_path().unwrap();
    let files = ["", "-wal", "-shm"].map(|suffix| format!("{}{suffix}", file.display()));
    for path in &files {
        std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    database.reopen().await;
    for path in &files {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn postgres_has_no_column_of_floating_type() {
    let database = database::postgres().await;
    let connection = Database::connect(database.url_text()).await.unwrap();
    let sql = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' \
               AND data_type IN ('real', 'double precision', 'numeric')";
    let rows = connection
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn unreachable_server_is_a_driver_error_without_the_password() {
    let url: DatabaseUrl = "postgres://silica:geheim@127.0.0.1:1/silica".parse().unwrap();
    let error = Storage::open(&url).await.unwrap_err();
    let StorageError::Driver {
        source: DbErr::Conn(RuntimeErr::SqlxError(cause)),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    let sqlx::Error::Io(cause) = &**cause else {
        panic!("the refusal itself, not a time-out of the pool: {cause:?}");
    };
    assert_eq!(cause.kind(), ErrorKind::ConnectionRefused);
    assert!(!format!("{error} {error:?}").contains("geheim"));
}

#[tokio::test]
async fn unusable_sqlite_path_is_a_driver_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = Storage::open(&DatabaseUrl::sqlite(folder.path().join("missing/silica.db")))
        .await
        .unwrap_err();
    assert!(matches!(error, StorageError::Driver { .. }), "{error:?}");
}
