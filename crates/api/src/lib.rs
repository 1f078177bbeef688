//! Public /v1 handlers, error envelope, SSE body.
