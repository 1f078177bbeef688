//! Accounts, keys, catalogue and deployments: the domain and its in-memory snapshots.
//!
//! Owns the rules (what an e-mail address, a name, a price may look like), makes ids, keys and
//! time stamps, and keeps in memory whatever a call needs: [`Platform::authenticate`] and
//! [`Platform::catalogue`] never wait for the database, and go on with the last known state while
//! it is down. It knows no HTTP and no engine.

mod catalogue;
mod cluster;
mod error;
mod keys;
mod metering;
mod operations;
mod platform;
mod refresh;
mod sealing;
mod validate;

pub use catalogue::{Catalogue, CatalogueModel};
pub use cluster::{ClusterSettings, OutagePolicy};
pub use error::{AuthError, PlatformError};
pub use keys::Profile;
pub use metering::{
    CallFacts, Entry, Estimate, Meter, MeterOptions, Priced, Refusal, Reservation, Settled, Standings,
};
pub use operations::{
    AccountChanges, AppliedCatalogue, Bill, BillGrouping, BillRange, BillSubject, CatalogueEntry,
    CatalogueFault, CheckedCatalogue, CreatedKey, FirstOperatorError, KeyChanges, NewAccount, NewCatalogue,
    NewCredit, NewDeployment, NewKey, NewLevelPackage, NewModel, NewPrice, NewReplica, SoldPackage,
    check_catalogue, deployed_folders,
};
pub use platform::{Caller, Platform, PlatformOptions};
pub use sealing::{
    MalformedMasterKey, MasterKey, MasterKeySource, MasterKeys, Resealed, UnopenedKey, reseal_upstream_keys,
    unopened_key,
};
pub use silica_billing::{
    Balances, BillingDay, Bucket, BucketKind, CallStatus, CapReached, ClassTables, ImageSize, Insufficient,
    KeyLimits, LimitClass, LimitCounters, LimitMetrics, LimitReached, Limits, MemoryCounters, Metric, Price,
    PriceAmount, PriceEntry, PriceLine, PriceSchedule, PriceVersion, Standing, Units, UsageEvent, UsageLevel,
    VisionImage, VisionRule, VisionTokens, Wallets,
};
pub use silica_cluster::ClusterOptions;
pub use silica_journal::{
    Closed as JournalClosed, Commit, Durability as JournalDurability, Journal, JournalError, JournalOptions,
    Salvaged, salvage as salvage_journal,
};
pub use silica_storage::{
    Account, AccountStatus, ApiKey, BillTotals, CatalogueFile, Conflict, Credit, Credited, DatabaseUrl,
    Deployment, EngineKind, KeyStatus, LedgerCall, LedgerCause, LedgerCursor, LedgerRow, LevelPackage,
    ModelFeature, ModelStatus, ModelType, Page, Quantization, ReplicaSpec, RoutingPolicy, Storage,
    StorageError, SubType, transfer,
};
