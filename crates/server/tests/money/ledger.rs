//! The ledger as the operator reads it.

use serde_json::Value;

use crate::nano::nano;
use crate::world::World;

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) event: String,
    pub(crate) kind: String,
    /// `None` when no bucket paid.
    pub(crate) bucket: Option<String>,
    pub(crate) nano: i64,
    pub(crate) shortfall: i64,
    pub(crate) trace: Option<String>,
    pub(crate) model: Option<String>,
}

/// All rows of an account, read page by page.
pub(crate) async fn rows(world: &World, account: usize) -> Vec<Row> {
    let path = format!("/accounts/{}/ledger?limit=100", world.accounts[account].id);
    let mut rows = Vec::new();
    let mut page = world.get(&path).await;
    loop {
        rows.extend(page["data"].as_array().expect("a list").iter().map(row));
        let Some(cursor) = page["next_cursor"].as_str() else {
            return rows;
        };
        page = world.get(&format!("{path}&cursor={cursor}")).await;
    }
}

fn row(row: &Value) -> Row {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    Row {
        event: text("event_id").expect("an event"),
        kind: text("kind").expect("a kind"),
        bucket: text("bucket"),
        nano: nano(&text("amount").expect("an amount")),
        shortfall: text("shortfall").map_or(0, |amount| nano(&amount)),
        trace: text("trace_id"),
        model: text("model"),
    }
}
