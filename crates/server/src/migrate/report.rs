//! What the command says of two databases, and of what is to be done after it.

use std::fmt::Write as _;

use silica_platform::transfer::{Comparison, KindBalance, TableComparison, TableContent};

use super::place::Place;

/// Discrepancies of the books that are shown.
const SHOWN: usize = 20;

/// The tables, balances and differences, side by side.
pub(super) fn comparison(found: &Comparison) -> String {
    let mut text = format!("{:<18}{:>12}{:>12}  content\n", "table", "source", "target");
    for table in &found.tables {
        let content = match table.content {
            TableContent::Same => "same",
            TableContent::Different => "DIFFERENT",
            TableContent::NotCompared => "not compared",
        };
        let line = format!(
            "{:<18}{:>12}{:>12}  {content}{}",
            table.table,
            table.source_rows,
            table.target_rows,
            sums(table)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for (kind, KindBalance { source, target }) in &found.balances.kinds {
        let _ = writeln!(
            text,
            "balances of {} {kind} buckets: {}",
            source.0,
            both([source.1, target.1])
        );
    }
    for bucket in &found.balances.different {
        let _ = writeln!(text, "bucket {bucket} has another balance in the target");
    }
    let (source, target) = (&found.source_discrepancies, &found.target_discrepancies);
    if source.is_empty() && target.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "the books do not add up in {} places of the source and {} of the target:",
        source.len(),
        target.len()
    );
    for discrepancy in target.iter().chain(source).take(SHOWN) {
        let _ = writeln!(text, "  {discrepancy}");
    }
    text
}

/// The sums of a table's columns of money.
fn sums(table: &TableComparison) -> String {
    let mut text = String::new();
    for (column, amounts) in &table.sums {
        let name = column.trim_end_matches("_nano");
        let separator = if text.is_empty() { "   sums:" } else { "," };
        let _ = write!(text, "{separator} {name} {}", both(*amounts));
    }
    text
}

/// An amount that both sides have, or both that they have.
fn both([source, target]: [i128; 2]) -> String {
    if source == target {
        return amount(source);
    }
    format!("{} (target: {})", amount(source), amount(target))
}

/// A sum of nano-CNY in CNY, exactly; sums over a whole table can be larger than money may be.
fn amount(nano: i128) -> String {
    const NANO: u128 = 1_000_000_000;
    let sign = if nano < 0 { "-" } else { "" };
    let (whole, part) = (nano.unsigned_abs() / NANO, nano.unsigned_abs() % NANO);
    let fraction = format!("{part:09}");
    let shown = fraction.trim_end_matches('0').len().max(2);
    format!("{sign}{whole}.{}", &fraction[..shown])
}

/// What an operator does next.
pub(super) fn what_next(place: &Place, master_key_in_environment: bool) -> String {
    let data = place.data.display();
    let master_key = if master_key_in_environment {
        "SILICA_MASTER_KEY".to_owned()
    } else {
        format!("the file {}", place.data.join("master-key").display())
    };
    format!(
        "Next: set database.url to the new database and start the server on the data folder {data}.\n\
         Stored upstream keys have moved sealed, and only {master_key} opens them: a server that gets\n\
         another data folder must get that key too, or every upstream key must be put again. It also needs\n\
         admin.key and the model folders at the paths that the deployments name.\n\
         The old database still has everything; start no server on it any more."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_also_beyond_what_one_account_may_have() {
        for (nano, text) in [
            (0, "0.00"),
            (-1, "-0.000000001"),
            (1_500_000_000, "1.50"),
            (i128::from(i64::MAX) * 10, "92233720368.54775807"),
        ] {
            assert_eq!(amount(nano), text);
        }
        assert_eq!(both([1, 2]), "0.000000001 (target: 0.000000002)");
    }
}
