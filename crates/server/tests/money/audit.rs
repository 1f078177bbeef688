//! Afterwards: what was seen, what was produced and what was booked must agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::time::{Duration, Instant};

use silica_testkit::database::TestDatabase;
use silica_testkit::{UpstreamCall, UpstreamOutcome, UsageFrames, ledger_discrepancies};

use crate::client::Seen;
use crate::ledger::{self, Row};
use crate::nano::nano;
use crate::plan::Consumed;
use crate::run::CLIENTS;
use crate::world::World;

/// A call that ended this long before a kill may have had its settlement still in memory.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What a run came to.
#[derive(Debug, Default)]
struct Figures {
    calls: usize,
    complete: usize,
    cut: usize,
    not_booked: usize,
    lost_tokens: u64,
    shortfalls: usize,
}

/// Checks everything that was promised.
pub(crate) async fn audit(world: &World, database: &TestDatabase) {
    let mut booked: HashMap<String, Vec<Row>> = HashMap::new();
    for account in 0..world.accounts.len() {
        let rows = ledger::rows(world, account).await;
        balances(world, account, &rows).await;
        for row in rows.into_iter().filter(|row| row.kind == "call") {
            let trace = row.trace.clone().expect("a call has a trace id");
            booked.entry(trace).or_default().push(row);
        }
    }
    let mut produced = produced(world);
    let mut figures = Figures::default();
    let kills = world.kills.lock().unwrap().clone();
    let mut lost = BTreeMap::new();
    for seen in world.seen.lock().unwrap().iter() {
        let rows = booked.remove(seen.call.marker()).unwrap_or_default();
        let upstream = produced.remove(seen.call.marker());
        let Some(kill) = call(seen, upstream.as_ref(), &rows, &kills, &mut figures) else {
            continue;
        };
        *lost.entry(kill).or_insert(0) += 1;
        figures.not_booked += 1;
    }
    assert!(booked.is_empty(), "rows of calls that nobody made: {booked:?}");
    assert!(produced.is_empty(), "work that nobody asked for: {produced:?}");
    for (kill, calls) in lost {
        // A client has one call at a time; another may be one that it has just left.
        assert!(calls <= 2 * CLIENTS, "kill {kill} lost {calls} calls");
    }
    let discrepancies = ledger_discrepancies(&database.storage()).await;
    assert!(discrepancies.is_empty(), "{discrepancies:#?}");
    let report = format!("kills: {}, {figures:#?}\n", kills.len());
    let _ = std::io::stderr().write_all(report.as_bytes());
}

/// The engine's log by marker; nothing is asked twice.
fn produced(world: &World) -> HashMap<String, UpstreamCall> {
    let mut calls = HashMap::new();
    for call in world.upstream.calls() {
        let again = calls.insert(call.marker.clone(), call);
        assert!(again.is_none(), "a call went to the engine twice: {again:?}");
    }
    calls
}

/// Checks one call. Returns the kill that its settlement was lost to, if it was.
fn call(
    seen: &Seen,
    upstream: Option<&UpstreamCall>,
    rows: &[Row],
    kills: &[Instant],
    figures: &mut Figures,
) -> Option<usize> {
    figures.calls += 1;
    let events: BTreeSet<&str> = rows.iter().map(|row| row.event.as_str()).collect();
    assert!(events.len() <= 1, "booked twice: {seen:?} {rows:?}");
    let model = seen.call.model();
    for row in rows {
        assert_eq!(row.model.as_deref(), Some(model.name), "{seen:?} {row:?}");
        assert!(row.nano <= 0 && row.shortfall >= 0, "{row:?}");
        let is_allowed = !model.charge_only || row.bucket.as_deref().is_none_or(|kind| kind == "charge");
        assert!(is_allowed, "a bucket that must not pay: {row:?}");
    }
    let Some(upstream) = upstream.filter(|call| call.outcome != UpstreamOutcome::Refused) else {
        assert!(rows.is_empty(), "paid for nothing: {seen:?} {rows:?}");
        assert!(!seen.is_complete, "an answer from nowhere: {seen:?}");
        return None;
    };
    figures.complete += usize::from(seen.is_complete);
    figures.cut += usize::from(!seen.is_complete);
    let shortfall: i64 = rows.iter().map(|row| row.shortfall).sum();
    figures.shortfalls += usize::from(shortfall > 0);
    let billed = rows.iter().map(|row| -row.nano).sum::<i64>() + shortfall;
    if seen.is_complete {
        assert!(!rows.is_empty(), "complete and not booked: {seen:?}");
        assert_eq!(billed, exact(seen, upstream), "{seen:?} {upstream:?} {rows:?}");
        return None;
    }
    if rows.is_empty() {
        let kill = kills
            .iter()
            .position(|kill| seen.begun <= *kill && *kill <= seen.ended + AFTERMATH);
        assert!(
            kill.is_some() || seen.tokens == 0,
            "sent and not booked, without a kill: {seen:?} {upstream:?}"
        );
        figures.lost_tokens += kill.map_or(0, |_| u64::from(upstream.produced));
        return kill;
    }
    let (least, most) = (least(seen, upstream), most(seen, upstream));
    assert!(
        (least..=most).contains(&billed),
        "{billed} is not within {least}..={most}: {seen:?} {upstream:?} {rows:?}"
    );
    None
}

/// The price of a call that its client saw complete.
fn exact(seen: &Seen, upstream: &UpstreamCall) -> i64 {
    let script = &seen.call.script;
    assert_eq!(upstream.outcome, UpstreamOutcome::Finished, "{seen:?}");
    assert_eq!(seen.tokens, upstream.produced, "{seen:?}");
    assert_eq!(seen.completion, Some(upstream.produced.into()), "{seen:?}");
    let (prompt, cached) = match script.usage {
        UsageFrames::None => (seen.call.estimated_prompt(), 0),
        UsageFrames::Last | UsageFrames::Every => (script.prompt, script.cached),
    };
    seen.call.model().cost(Consumed {
        prompt,
        cached,
        completion: upstream.produced,
    })
}

/// The price of what was sent: nothing when nothing was.
fn least(seen: &Seen, upstream: &UpstreamCall) -> i64 {
    if seen.tokens == 0 {
        return 0;
    }
    let estimated = Consumed {
        prompt: seen.call.estimated_prompt(),
        cached: 0,
        completion: seen.tokens,
    };
    let reported = Consumed {
        prompt: upstream.prompt,
        cached: seen.call.script.cached,
        completion: seen.tokens,
    };
    let model = seen.call.model();
    model.cost(estimated).min(model.cost(reported))
}

/// The price of what was produced.
fn most(seen: &Seen, upstream: &UpstreamCall) -> i64 {
    seen.call.model().cost(Consumed {
        prompt: seen.call.estimated_prompt().max(upstream.prompt),
        cached: 0,
        completion: upstream.produced,
    })
}

/// Balances are what came in less what went out, of each kind, and never below zero.
async fn balances(world: &World, account: usize, rows: &[Row]) {
    let body = world
        .get(&format!("/accounts/{}", world.accounts[account].id))
        .await;
    let mut total = 0;
    for kind in ["voucher", "gift", "charge"] {
        let credits = world.credits.lock().unwrap().clone();
        let given: i64 = credits
            .iter()
            .filter(|credit| credit.account == account && credit.bucket == kind)
            .map(|credit| credit.nano)
            .sum();
        let of_kind = |wanted: &str| -> i64 {
            let rows = rows.iter().filter(|row| row.kind == wanted);
            rows.filter(|row| row.bucket.as_deref() == Some(kind))
                .map(|row| row.nano)
                .sum()
        };
        assert_eq!(of_kind("credit"), given, "{kind} credits of account {account}");
        let balance = nano(body[format!("{kind}_balance")].as_str().expect("a balance"));
        assert_eq!(
            balance,
            given + of_kind("call"),
            "{kind} balance of account {account}"
        );
        assert!(balance >= 0, "{kind} balance of account {account}");
        total += balance;
    }
    assert_eq!(nano(body["total_balance"].as_str().expect("a balance")), total);
}
