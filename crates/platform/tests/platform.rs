//! The domain on both databases.

#[cfg(test)]
mod platform {
    mod accounts;
    mod catalogue;
    mod first_operator;
    mod keys;
    mod outage;
    mod processes;
    mod support;
}
