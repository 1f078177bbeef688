//! Test support: databases per test, a running application, builders.
