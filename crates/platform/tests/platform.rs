//! The domain on both databases.

#[cfg(test)]
mod platform {
    mod accounts;
    mod bills;
    mod catalogue;
    mod credits;
    mod first_operator;
    mod keys;
    mod outage;
    mod prices;
    mod processes;
    mod support;
}
