//! The caller's own account: `/user/info`, `/user/bills`.

mod bill;
mod bill_query;
pub(crate) mod bills;
mod csv;
pub(crate) mod info;

pub use bill::{BillView, respond_with_bill};
pub use bill_query::{BillFormat, BillQuery};
pub(crate) use bills::get_user_bills;
pub(crate) use info::get_user_info;
