//! Catalogue models.

use std::sync::Arc;

use jiff::Timestamp;
use silica_billing::{Limits, Price, PriceVersion, VisionRule};
use silica_storage::{
    CatalogueModel as Record, ModelFeature, ModelStatus, ModelType, PriceRecord, Scope, SubType, Write,
    catalogue, prices,
};
use silica_types::ModelName;

use super::catalogue_file::refuse_managed_model;
use crate::validate::{self, invalid};
use crate::{CatalogueModel, Platform, PlatformError};

/// A model as an operator gives it; it replaces one of the same id as a whole.
#[derive(Debug, Clone)]
pub struct NewModel {
    /// The name that clients send.
    pub id: ModelName,
    /// The kind of its output; must be that of `sub_type`.
    pub model_type: ModelType,
    /// What it does.
    pub sub_type: SubType,
    /// Tokens of prompt and answer together; `None` leaves that to the engine.
    pub context_length: Option<u32>,
    /// What else it can do, in any order.
    pub features: Vec<ModelFeature>,
    /// How it turns images into tokens; `None` leaves that to its name, or to an estimate.
    pub vision: Option<VisionRule>,
    /// Labels for the console.
    pub tags: Vec<String>,
    /// What it costs.
    pub price: Price,
    /// Its rate limits; `None` means none.
    pub limits: Option<Limits>,
    /// Whether only verified accounts may call it.
    pub real_name: bool,
    /// Whether only the paid balance may pay for it.
    pub charge_only: bool,
    /// Whether it is callable.
    pub status: ModelStatus,
    /// A text for people.
    pub description: String,
}

impl NewModel {
    /// Makes a callable, free, unlimited model without features.
    pub fn new(id: ModelName, sub_type: SubType) -> Self {
        Self {
            id,
            model_type: sub_type.model_type(),
            sub_type,
            context_length: None,
            features: Vec::new(),
            vision: None,
            tags: Vec::new(),
            price: Price::default(),
            limits: None,
            real_name: false,
            charge_only: false,
            status: ModelStatus::Normal,
            description: String::new(),
        }
    }
}

impl Platform {
    /// Stores a model in the catalogue. In force at once in this process.
    ///
    /// A price other than the list price that is in force becomes a new entry of the price book, in
    /// force from now on.
    ///
    /// # Errors
    /// [`PlatformError::Invalid`], [`PlatformError::Managed`] or [`PlatformError::Storage`].
    pub async fn put_model(&self, new: NewModel) -> Result<Arc<CatalogueModel>, PlatformError> {
        let model = check_model(new, self.now())?;
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        refuse_managed_model(&write, &model.id).await?;
        let entries = store_model(&write, &model).await?;
        // Read back for the time of creation, which stays that of the first.
        let record = catalogue::find(&write, &model.id).await?.unwrap_or(model);
        let stored = Arc::new(CatalogueModel::new(record, entries));
        let revision = write.commit().await?;
        self.shared
            .apply_to_catalogue(revision, |catalogue| catalogue.with_model(Arc::clone(&stored)));
        tracing::info!(model.name = %stored.id, model.status = %stored.status, revision, "model {} stored", stored.id);
        Ok(stored)
    }

    /// Returns every model of the catalogue, deployed or not, oldest first.
    pub fn models(&self) -> Vec<Arc<CatalogueModel>> {
        self.catalogue().models().to_vec()
    }
}

/// Checks a model against the rules.
pub(super) fn check_model(new: NewModel, now: Timestamp) -> Result<Record, PlatformError> {
    if new.sub_type.model_type() != new.model_type {
        let right = new.sub_type.model_type();
        return Err(invalid(
            "sub_type",
            format!("{} belongs to type {right}, not {}", new.sub_type, new.model_type),
        ));
    }
    let mut features = new.features;
    features.sort_unstable();
    features.dedup();
    if new.vision.is_some() && !features.contains(&ModelFeature::Vision) {
        return Err(invalid(
            "vision",
            "is for models with the feature vision".to_owned(),
        ));
    }
    Ok(Record {
        context_length: new
            .context_length
            .map(|value| validate::positive("context_length", value))
            .transpose()?,
        features,
        vision: new.vision,
        tags: validate::tags(&new.tags)?,
        limits: new.limits.map(validate::limits).transpose()?,
        description: validate::description(&new.description)?,
        id: new.id,
        model_type: new.model_type,
        sub_type: new.sub_type,
        price: validate::price("price", new.price)?,
        real_name: new.real_name,
        charge_only: new.charge_only,
        status: new.status,
        created_at: now,
        updated_at: now,
    })
}

/// Stores a checked model and, when its price is not the one in force, an entry of the price book.
/// Returns the model's entries.
pub(super) async fn store_model(
    write: &Write,
    model: &Record,
) -> Result<Vec<(PriceVersion, PriceRecord)>, PlatformError> {
    let before = catalogue::find(write, &model.id).await?;
    let mut entries = prices::of_model(write, &model.id).await?;
    let in_force = before.map(|record| CatalogueModel::new(record, entries.clone()));
    catalogue::put(write, model).await?;
    let current = in_force
        .as_ref()
        .and_then(|before| before.price_at(model.updated_at, None));
    if current.map_or(&Price::default(), |entry| &entry.list) != &model.price {
        let from = in_force
            .as_ref()
            .map_or(model.updated_at, |before| before.price_time(model.updated_at));
        let entry = put_price(model, from);
        entries.push((prices::insert(write, &entry).await?, entry));
    }
    Ok(entries)
}

/// The entry of the price book for the price that was put with a model.
fn put_price(model: &Record, from: Timestamp) -> PriceRecord {
    PriceRecord {
        model: model.id.clone(),
        mode: None,
        list: model.price.clone(),
        promotional: None,
        badge: None,
        effective_from: from,
        effective_until: None,
        created_at: from,
    }
}
