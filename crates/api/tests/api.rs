//! The public API through its router, with a scripted engine and a platform on `SQLite`.

#[cfg(test)]
mod api {
    mod addresses;
    mod admission;
    mod bad_input;
    mod chat;
    mod completions;
    mod disconnect;
    mod embeddings;
    mod errors;
    mod estimate;
    mod layers;
    mod messages;
    mod models;
    mod openapi;
    mod rerank;
    mod responses;
    mod stream;
    mod support;
    mod tools;
    mod unread;
    mod user;
}
