//! One inference call: route, replica, run, account for it.
