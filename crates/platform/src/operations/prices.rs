//! The price book.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use silica_billing::{Price, PriceEntry, PriceVersion};
use silica_storage::{CatalogueModel as Record, PriceRecord, Scope, Source, catalogue, prices};
use silica_types::ModelName;

use crate::catalogue::{entry, from_before_the_book};
use crate::validate::{self, invalid};
use crate::{CatalogueModel, Page, Platform, PlatformError};

/// A beginning that lies back no further than this is taken for now: the operator's clock may be
/// behind ours.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// An entry of the price book as an operator gives it.
#[derive(Debug, Clone)]
pub struct NewPrice {
    /// The model that it prices.
    pub model: ModelName,
    /// The mode of calls that it is for; `None` for all modes that have no entry of their own.
    pub mode: Option<String>,
    /// The price without a promotion.
    pub list: Price,
    /// What is charged instead while the entry is in force.
    pub promotional: Option<Price>,
    /// What the catalogue shows beside the price.
    pub badge: Option<String>,
    /// From when on it is in force; `None` means now. Calls that are settled keep their price, so it
    /// must not lie in the past.
    pub effective_from: Option<Timestamp>,
    /// Until when it is in force; `None` means until another entry takes over.
    pub effective_until: Option<Timestamp>,
}

impl Platform {
    /// Adds an entry to the price book. Of several that are in force the one that began last wins.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown model, [`PlatformError::Invalid`] or
    /// [`PlatformError::Storage`].
    pub async fn add_price(&self, new: NewPrice) -> Result<PriceEntry, PlatformError> {
        let mut price = self.check_price(new)?;
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Catalogue).await?;
        let record = model_must_exist(&write, &price.model).await?;
        let mut entries = prices::of_model(&write, &price.model).await?;
        // Without it, the model's first entry would end an older price at once, even where it begins later.
        if entries.is_empty()
            && let Some(before) = from_before_the_book(&record)
        {
            entries.push((prices::insert(&write, &before).await?, before));
        }
        // Before the whole price book, an entry of now would begin before one that is in force, and lose.
        let model = CatalogueModel::new(record.clone(), entries.clone());
        let now = model.price_time(price.created_at);
        if now > price.created_at {
            price.effective_from = price.effective_from.max(now);
        }
        if price
            .effective_until
            .is_some_and(|until| until <= price.effective_from)
        {
            return Err(invalid("effective_until", "must lie after effective_from"));
        }
        let version = prices::insert(&write, &price).await?;
        entries.push((version, price.clone()));
        let revision = write.commit().await?;
        let model = Arc::new(CatalogueModel::new(record, entries));
        self.shared
            .apply_to_catalogue(revision, |catalogue| catalogue.with_model(Arc::clone(&model)));
        tracing::info!(
            model.name = %price.model, price.version = %version, revision,
            "price {version} of model {} stored", price.model
        );
        Ok(entry((version, price)))
    }

    /// Lists at most `limit` entries of the price book, past and future, or of the part of one model,
    /// after the entry `after`, oldest first.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown model, [`PlatformError::TooSlow`] or
    /// [`PlatformError::Storage`].
    pub async fn prices(
        &self,
        model: Option<&ModelName>,
        after: Option<PriceVersion>,
        limit: u32,
    ) -> Result<Page<(ModelName, PriceEntry), PriceVersion>, PlatformError> {
        let (storage, model) = (self.shared.storage.clone(), model.cloned());
        let page = self.in_time(async move {
            if let Some(model) = &model {
                model_must_exist(&storage, model).await?;
            }
            Ok(prices::list(&storage, model.as_ref(), after, limit).await?)
        });
        let Page { rows, next } = page.await?;
        let named = |(version, record): (_, PriceRecord)| (record.model.clone(), entry((version, record)));
        let rows = rows.into_iter().map(named).collect();
        Ok(Page { rows, next })
    }

    fn check_price(&self, new: NewPrice) -> Result<PriceRecord, PlatformError> {
        let now = self.now();
        let from = match new.effective_from {
            Some(from) if from < now - CLOCKS_DIFFER => {
                return Err(invalid(
                    "effective_from",
                    "lies in the past; settled calls keep their price, so an entry begins now or later",
                ));
            }
            Some(from) => validate::whole_microseconds("effective_from", from)?.max(now),
            None => now,
        };
        let until = new
            .effective_until
            .map(|until| validate::whole_microseconds("effective_until", until))
            .transpose()?;
        Ok(PriceRecord {
            model: new.model,
            mode: new.mode.as_deref().map(validate::mode).transpose()?,
            list: validate::price("price", new.list)?,
            promotional: new
                .promotional
                .map(|price| validate::price("promotional", price))
                .transpose()?,
            badge: new.badge.as_deref().map(validate::badge).transpose()?,
            effective_from: from,
            effective_until: until,
            created_at: now,
        })
    }
}

async fn model_must_exist(source: &impl Source, model: &ModelName) -> Result<Record, PlatformError> {
    let found = catalogue::find(source, model).await?;
    found.ok_or_else(|| PlatformError::NotFound {
        what: "model",
        id: model.to_string(),
    })
}
