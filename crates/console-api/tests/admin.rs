//! The operator API through its router, in process.

#[cfg(test)]
mod admin {
    mod access;
    mod accounts;
    mod deployments;
    mod keys;
    mod levels;
    mod models;
    mod money;
    mod openapi;
    mod prices;
    mod replicas;
    mod support;
}
