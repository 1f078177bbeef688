//! The engine against a scripted server.

#[cfg(test)]
mod remote {
    mod answers;
    mod faults;
    mod moderators;
    mod passed_on;
    mod support;
    mod tls;
}
