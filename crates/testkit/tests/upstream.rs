//! The scripted engine says what its scripts tell.

#[cfg(test)]
mod upstream {
    mod says;
}
