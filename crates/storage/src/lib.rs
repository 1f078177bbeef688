//! SeaORM entities, migrations and repositories for SQLite and PostgreSQL.
//!
//! Owns the schema and the SQL; everything else sees [`Storage`], the records and the functions of
//! [`accounts`], [`api_keys`], [`catalogue`], [`deployments`] and [`revisions`], and for money
//! [`prices`], [`credits`], [`level_packages`], [`buckets`], [`ledger`] and [`bills`]; [`nodes`] knows which servers
//! of a cluster are alive, and [`transfer`] moves all to another database. It makes no ids, reads no clock and
//! checks no rule of the domain: it stores what it is given.
//!
//! # Change numbers
//! Every [`Write`] takes the next number of the one-row table `revisions` and stores it in the
//! rows that it touches. The row lock that this takes makes the numbers follow the order of the
//! commits, so another process that polls [`revisions::current`] and reads the rows above the last
//! number it saw misses nothing.

mod connection;
mod database_url;
mod entities;
mod error;
mod migrations;
mod records;
mod repositories;
mod transaction;

pub use connection::Storage;
pub use database_url::{DatabaseUrl, InvalidDatabaseUrl};
pub use error::{Conflict, StorageError};
pub use records::{
    Account, AccountStatus, ApiKey, Applied, AppliedBucket, BillTotals, CatalogueFile, CatalogueModel,
    Credit, Credited, DayUsage, Deployment, Discrepancy, EngineKind, InvalidLedgerCursor, KeyHash, KeyStatus,
    LedgerCall, LedgerCause, LedgerCursor, LedgerRow, LevelPackage, ModelFeature, ModelStatus, ModelType,
    PackageBuckets, PriceRecord, Quantization, ReplicaSpec, RoutingPolicy, SubType,
};
pub use repositories::{
    Changed, Page, UnreadableRow, accounts, api_keys, bills, buckets, catalogue, catalogue_file, credits,
    deployments, ledger, level_packages, nodes, prices, revisions, transfer,
};
pub use transaction::{Executor, Scope, Snapshot, Source, Write};
