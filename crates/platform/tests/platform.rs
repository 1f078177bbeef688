//! The domain on both databases.

#[cfg(test)]
mod platform {
    mod accounts;
    mod bills;
    mod catalogue;
    mod catalogue_file;
    mod credits;
    mod first_operator;
    mod hanging;
    mod keys;
    mod levels;
    mod metering;
    mod outage;
    mod prices;
    mod processes;
    mod sealing;
    mod support;
}
