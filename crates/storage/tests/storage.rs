//! The repositories on both databases.

#[cfg(test)]
mod storage {
    mod accounts;
    mod api_keys;
    mod bad_data;
    mod catalogue;
    mod deployments;
    mod records;
    mod revisions;
    mod schema;
    mod writers;
}
