use silica_billing::{LimitMetrics, Limits, Price, VisionRule};
use silica_storage::{CatalogueModel, ModelFeature, ModelStatus, ModelType, SubType, catalogue};
use silica_testkit::on_each_database;

use super::records::{begin_catalogue, later, model, name, time};

/// A model with something in every field.
fn full() -> CatalogueModel {
    CatalogueModel {
        model_type: ModelType::Video,
        sub_type: SubType::TextToVideo,
        context_length: Some(u32::MAX),
        features: ModelFeature::ALL.to_vec(),
        vision: Some(VisionRule::DeepSeekVl2),
        tags: vec!["新".to_owned(), "with \"quotes\"".to_owned()],
        price: Price {
            input: Some("0.70".parse().unwrap()),
            output: Some("0.0000000000000000000000000001".parse().unwrap()),
            per_mpx_step: Some("21.420".parse().unwrap()),
            ..Price::default()
        },
        limits: Some(Limits::Metrics(LimitMetrics {
            requests_per_minute: Some(1000),
            tokens_per_day: Some(-1),
            ..LimitMetrics::default()
        })),
        real_name: true,
        charge_only: true,
        status: ModelStatus::Disabled,
        description: "a text".to_owned(),
        ..model("Pro/vendor/everything")
    }
}

on_each_database! {
    async fn model_comes_back_digit_for_digit(database) {
        let storage = database.storage();
        let stored = full();
        let write = begin_catalogue(&storage).await;
        catalogue::put(&write, &stored).await.unwrap();
        write.commit().await.unwrap();

        let found = catalogue::find(&storage, &stored.id).await.unwrap().unwrap();
        assert_eq!(found.price.input.unwrap().to_string(), "0.70");
        assert_eq!(found.price.output.unwrap().to_string(), "0.0000000000000000000000000001");
        assert_eq!(found, stored);
    }

    async fn second_put_replaces_all_but_the_time_of_creation(database) {
        let storage = database.storage();
        let write = begin_catalogue(&storage).await;
        catalogue::put(&write, &full()).await.unwrap();
        let replacement = CatalogueModel { created_at: later(), updated_at: later(), ..model("Pro/vendor/everything") };
        catalogue::put(&write, &replacement).await.unwrap();
        write.commit().await.unwrap();

        let found = catalogue::find(&storage, &replacement.id).await.unwrap();
        assert_eq!(found, Some(CatalogueModel { created_at: time(), ..replacement }));
        assert_eq!(catalogue::list(&storage).await.unwrap().len(), 1);
    }

    async fn models_are_listed_oldest_first_and_names_keep_their_case(database) {
        let storage = database.storage();
        let write = begin_catalogue(&storage).await;
        for (id, created_at) in [("b/new", later()), ("a/Old", time()), ("a/old", time())] {
            catalogue::put(&write, &CatalogueModel { created_at, ..model(id) }).await.unwrap();
        }
        write.commit().await.unwrap();
        let ids: Vec<_> = catalogue::list(&storage).await.unwrap().into_iter().map(|model| model.id).collect();
        assert_eq!(ids, [name("a/Old"), name("a/old"), name("b/new")]);
        assert_eq!(catalogue::find(&storage, &name("A/OLD")).await.unwrap(), None);
    }
}
