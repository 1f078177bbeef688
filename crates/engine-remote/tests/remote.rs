//! The engine against a scripted server.

#[cfg(test)]
mod remote {
    mod answers;
    mod faults;
    mod passed_on;
    mod support;
    mod tls;
}
