//! Accounts, keys, catalogue and deployments: the domain and its in-memory snapshots.
