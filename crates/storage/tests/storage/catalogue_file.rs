use silica_storage::{CatalogueFile, catalogue_file};
use silica_testkit::on_each_database;

use super::records::{begin_catalogue, later, time};

on_each_database! {
    async fn the_last_file_is_remembered_until_it_is_forgotten(database) {
        let storage = database.storage();
        assert_eq!(catalogue_file::find(&storage).await.unwrap(), None);
        let first = CatalogueFile {
            path: "/etc/a \"b\".toml".to_owned(),
            models: vec!["m/a".to_owned(), "m/b".to_owned()],
            deployments: Vec::new(),
            applied_at: time(),
        };
        let second = CatalogueFile { path: "/etc/c.toml".to_owned(), models: Vec::new(), applied_at: later(), ..first.clone() };
        for file in [first, second] {
            let write = begin_catalogue(&storage).await;
            catalogue_file::put(&write, &file).await.unwrap();
            write.commit().await.unwrap();
            assert_eq!(catalogue_file::find(&storage).await.unwrap(), Some(file));
        }
        let write = begin_catalogue(&storage).await;
        catalogue_file::forget(&write).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(catalogue_file::find(&storage).await.unwrap(), None);
    }
}
