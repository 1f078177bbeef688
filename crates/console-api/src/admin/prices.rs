//! `/admin/v1/prices`: the price book.

pub(crate) mod create;
pub(crate) mod list;

use jiff::Timestamp;
use serde::Serialize;
use silica_platform::PriceEntry;
use silica_types::ModelName;

use crate::wire::PriceBody;

/// An entry of the price book. Entries are never changed: one that begins later takes over.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PriceView {
    /// Its number; later entries have higher ones.
    version: i64,
    /// The model that it prices.
    #[schema(value_type = String)]
    model: ModelName,
    /// The mode of calls that it is for; `null` for all that have no entry of their own.
    mode: Option<String>,
    /// The list price.
    price: PriceBody,
    /// What is charged instead while the entry is in force.
    promotional: Option<PriceBody>,
    /// What the catalogue shows beside the price.
    badge: Option<String>,
    /// From when on it is in force.
    #[schema(value_type = String, format = DateTime)]
    effective_from: Timestamp,
    /// The first moment at which it is not in force any more; `null` means never.
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_until: Option<Timestamp>,
}

impl PriceView {
    fn new(model: ModelName, entry: PriceEntry) -> Self {
        Self {
            version: entry.version.0,
            model,
            mode: entry.mode,
            price: entry.list.into(),
            promotional: entry.promotional.map(PriceBody::from),
            badge: entry.badge,
            effective_from: entry.effective_from,
            effective_until: entry.effective_until,
        }
    }
}
