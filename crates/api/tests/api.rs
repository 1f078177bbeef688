//! The public API through its router, with a scripted engine and a platform on `SQLite`.

#[cfg(test)]
mod api {
    mod addresses;
    mod admission;
    mod bad_input;
    mod chat;
    mod disconnect;
    mod errors;
    mod layers;
    mod models;
    mod openapi;
    mod stream;
    mod support;
    mod unread;
    mod user;
}
