//! Calls and deployments through the gateway, with scripted engines and a platform on `SQLite`.

#[cfg(test)]
mod gateway {
    mod calls;
    mod deployments;
    mod failover;
    mod health;
    mod moderation;
    mod money;
    mod properties;
    mod routing;
    mod support;
}
