//! Operator API under /admin/v1 (and, later, the console's session API).
