use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::*;

/// Tables that are not to be moved: the driver's own, and the signs of life of servers, which are over.
const NOT_MOVED: [&str; 3] = ["seaql_migrations", "sqlite_sequence", "nodes"];

/// A row that is forgotten here is lost in every move, so nobody may forget one.
#[tokio::test]
async fn every_table_and_column_of_the_schema_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&DatabaseUrl::sqlite(folder.path().join("silica.db")))
        .await
        .unwrap();
    let sql = "SELECT m.name AS table_name, c.name AS column_name \
               FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
    let rows = storage
        .reader()
        .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await
        .unwrap();
    let mut schema = BTreeMap::<String, BTreeSet<String>>::new();
    for row in rows {
        let table: String = row.try_get("", "table_name").unwrap();
        let column: String = row.try_get("", "column_name").unwrap();
        schema.entry(table).or_default().insert(column);
    }
    for table in NOT_MOVED {
        schema.remove(table).expect("a table that is not moved");
    }
    let moved = tables::columns().into_iter().map(|(table, columns)| {
        let columns: BTreeSet<_> = columns.into_iter().map(str::to_owned).collect();
        (table.to_owned(), columns)
    });
    assert_eq!(moved.collect::<BTreeMap<_, _>>(), schema);
}
