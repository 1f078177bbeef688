//! The catalogue in memory: models, deployments and which belongs to which.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use silica_billing::{Price, PriceEntry, PriceSchedule, PriceVersion, VisionRule};
use silica_storage::{CatalogueModel as Record, Deployment, ModelFeature, ModelStatus, PriceRecord};
use silica_types::ModelName;

/// A model with its part of the price book. Reads like the stored model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueModel {
    record: Record,
    /// What calls cost, now and later. [`Record::price`] is what was last put with the model.
    pub schedule: PriceSchedule,
    /// When the youngest entry of the price book was made.
    priced_at: Timestamp,
}

impl CatalogueModel {
    /// Joins a stored model with its entries of the price book.
    ///
    /// A model that was priced before there was a price book keeps its price as the version 0.
    pub(crate) fn new(record: Record, entries: Vec<(PriceVersion, PriceRecord)>) -> Self {
        let made = entries.iter().map(|(_, entry)| entry.created_at);
        let priced_at = made.max().unwrap_or(record.created_at);
        let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
        if entries.is_empty() {
            let before = from_before_the_book(&record);
            entries.extend(before.map(|before| entry((PriceVersion(0), before))));
        }
        Self {
            record,
            schedule: PriceSchedule::new(entries),
            priced_at,
        }
    }

    /// The price of calls at a time; `None` when they are free for want of a price. A call without
    /// an entry for its mode pays the entry without one.
    pub fn price_at(&self, now: Timestamp, mode: Option<&str>) -> Option<&PriceEntry> {
        self.schedule.at(self.price_time(now), mode)
    }

    /// How the model turns images into tokens: what the operator says, or what models of its name do.
    pub fn vision_rule(&self) -> Option<VisionRule> {
        let sees = self.features.contains(&ModelFeature::Vision);
        self.vision
            .or_else(|| VisionRule::of_model(self.id.as_str()))
            .filter(|_| sees)
    }

    /// The time that prices go by: `now`, unless the clock stands before the whole price book.
    ///
    /// The youngest entry was made, so it is later than that, whatever the clock says; one that was
    /// set back must not make a priced model free. Otherwise the clock is believed: an entry that
    /// was made while it was ahead waits for its time.
    pub(crate) fn price_time(&self, now: Timestamp) -> Timestamp {
        let entries = self.schedule.entries();
        let has_begun = entries.iter().any(|entry| entry.effective_from <= now);
        if has_begun { now } else { now.max(self.priced_at) }
    }
}

/// A model of the catalogue is the stored one and its prices.
impl Deref for CatalogueModel {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// The entry for a price that was put with its model before there was a price book; `None` when
/// there was none.
pub(crate) fn from_before_the_book(record: &Record) -> Option<PriceRecord> {
    (record.price != Price::default()).then(|| PriceRecord {
        model: record.id.clone(),
        mode: None,
        list: record.price.clone(),
        promotional: None,
        badge: None,
        effective_from: record.created_at,
        effective_until: None,
        created_at: record.updated_at,
    })
}

/// Numbers an entry of the price book.
pub(crate) fn entry((version, record): (PriceVersion, PriceRecord)) -> PriceEntry {
    PriceEntry {
        version,
        mode: record.mode,
        list: record.list,
        promotional: record.promotional,
        badge: record.badge,
        effective_from: record.effective_from,
        effective_until: record.effective_until,
    }
}

/// An unchanging view of the catalogue. A call keeps the view that it began with.
#[derive(Debug, Default)]
pub struct Catalogue {
    models: Vec<Arc<CatalogueModel>>,
    deployments: Vec<Arc<Deployment>>,
    model_by_id: HashMap<ModelName, Arc<CatalogueModel>>,
    deployment_by_model: HashMap<ModelName, Arc<Deployment>>,
}

impl Catalogue {
    /// Makes a view of the models, in the order in which they are to be listed, and the deployments.
    pub fn new(models: Vec<Arc<CatalogueModel>>, deployments: Vec<Arc<Deployment>>) -> Self {
        let model_by_id = models
            .iter()
            .map(|model| (model.id.clone(), Arc::clone(model)))
            .collect();
        let deployment_by_model = deployments
            .iter()
            .flat_map(|deployment| {
                deployment
                    .models
                    .iter()
                    .map(move |model| (model.clone(), Arc::clone(deployment)))
            })
            .collect();
        Self {
            models,
            deployments,
            model_by_id,
            deployment_by_model,
        }
    }

    /// Looks a model up by the name that a client sent.
    pub fn model(&self, id: &str) -> Option<&Arc<CatalogueModel>> {
        self.model_by_id.get(id)
    }

    /// Returns every model, deployed or not, oldest first.
    pub fn models(&self) -> &[Arc<CatalogueModel>] {
        &self.models
    }

    /// Returns the models that clients see: enabled and with a deployment, oldest first.
    pub fn listed(&self) -> impl Iterator<Item = &Arc<CatalogueModel>> {
        self.models.iter().filter(|model| {
            model.status == ModelStatus::Normal && self.deployment_by_model.contains_key(&model.id)
        })
    }

    /// Returns the deployment that answers for a model.
    pub fn deployment_of(&self, model: &str) -> Option<&Arc<Deployment>> {
        self.deployment_by_model.get(model)
    }

    /// Returns every deployment, sorted by name.
    pub fn deployments(&self) -> &[Arc<Deployment>] {
        &self.deployments
    }

    /// Looks a deployment up by its own name.
    pub fn deployment(&self, name: &str) -> Option<&Arc<Deployment>> {
        let index = self
            .deployments
            .binary_search_by(|deployment| deployment.name.as_str().cmp(name))
            .ok()?;
        self.deployments.get(index)
    }

    /// Returns a view in which `model` stands in place of the one with its id.
    pub(crate) fn with_model(&self, model: Arc<CatalogueModel>) -> Self {
        let mut models: Vec<_> = self
            .models
            .iter()
            .filter(|stored| stored.id != model.id)
            .cloned()
            .collect();
        models.push(model);
        // The order of `silica_storage::catalogue::list`, so that a restart changes nothing.
        models.sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
        Self::new(models, self.deployments.clone())
    }

    /// Returns a view in which `deployment` stands in place of the one with its name.
    pub(crate) fn with_deployment(&self, deployment: Arc<Deployment>) -> Self {
        let mut deployments = self.without_deployment(&deployment.name).deployments;
        deployments.push(deployment);
        deployments.sort_by(|left, right| left.name.cmp(&right.name));
        Self::new(self.models.clone(), deployments)
    }

    /// Returns a view without the deployment of that name.
    pub(crate) fn without_deployment(&self, name: &str) -> Self {
        let kept = self
            .deployments
            .iter()
            .filter(|deployment| deployment.name != name)
            .cloned()
            .collect();
        Self::new(self.models.clone(), kept)
    }

    /// Says whether both views hold the same rows.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.models == other.models && self.deployments == other.deployments
    }
}
