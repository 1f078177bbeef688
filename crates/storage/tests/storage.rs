//! The repositories on both databases.

#[cfg(test)]
mod storage {
    mod accounts;
    mod api_keys;
    mod bad_data;
    mod bills;
    mod catalogue;
    mod catalogue_file;
    mod credits;
    mod deployments;
    mod ledger;
    mod levels;
    mod money;
    mod prices;
    mod records;
    mod revisions;
    mod schema;
    mod transfer;
    mod upkeep;
    mod writers;
}
