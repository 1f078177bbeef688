//! What chat requests are read as, and what is refused with which code and text.

#[cfg(test)]
mod chat_request {
    mod accepted;
    mod limits;
    mod properties;
    mod refused;
}
