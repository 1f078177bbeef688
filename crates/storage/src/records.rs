//! What the repositories take and give: plain data whose every stored form is legal.

mod account;
mod api_key;
mod bill;
mod catalogue_file;
mod credit;
mod deployment;
mod ledger;
mod level_package;
mod model;
mod price;

pub use account::{Account, AccountStatus};
pub use api_key::{ApiKey, KeyHash, KeyStatus};
pub use bill::{BillTotals, DayUsage};
pub use catalogue_file::CatalogueFile;
pub use credit::{Credit, Credited};
pub use deployment::{Deployment, EngineKind, Quantization, ReplicaSpec, RoutingPolicy};
pub use ledger::{
    Applied, AppliedBucket, Discrepancy, InvalidLedgerCursor, LedgerCall, LedgerCause, LedgerCursor,
    LedgerRow,
};
pub use level_package::{LevelPackage, PackageBuckets};
pub use model::{CatalogueModel, ModelFeature, ModelStatus, ModelType, SubType};
pub use price::PriceRecord;
