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
use crate::world::{CAP, CAPPED, World};

/// A call that ended this long before a kill may have had its settlement still in memory.
const AFTERMATH: Duration = Duration::from_millis(250);

/// What a run came to.
#[derive(Debug, Default)]
struct Figures {
    calls: usize,
    /// Calls whose clients saw them complete.
    complete: usize,
    /// Calls that reached the engine and that their clients did not see complete.
    cut: usize,
    /// Calls that no bucket could pay in full.
    shortfalls: usize,
    /// Calls whose settlement was lost to a kill, and what the engine had produced for them.
    lost_calls: usize,
    lost_tokens: u64,
    /// The statuses of all answers; 0 where there was none.
    statuses: BTreeMap<u16, usize>,
}

/// Checks everything that was promised.
pub(crate) async fn audit(world: &World, database: &TestDatabase) {
    let mut booked: HashMap<String, Vec<Row>> = HashMap::new();
    let mut capped_rows = Vec::new();
    for account in 0..world.accounts.len() {
        let rows = ledger::rows(world, account).await;
        balances(world, account, &rows).await;
        bill(world, account, &rows).await;
        if account == CAPPED {
            capped_rows.clone_from(&rows);
        }
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
    }
    cap(world, &capped_rows);
    assert!(booked.is_empty(), "rows of calls that nobody made: {booked:?}");
    assert!(produced.is_empty(), "work that nobody asked for: {produced:?}");
    for (kill, calls) in lost {
        // A client has one call at a time; another may be one that it has just left.
        assert!(calls <= 2 * CLIENTS, "kill {kill} lost {calls} calls");
    }
    let discrepancies = ledger_discrepancies(&database.storage()).await;
    assert!(discrepancies.is_empty(), "{discrepancies:#?}");
    let report = format!("{} kills, {figures:?}\n", kills.len());
    let _ = std::io::stderr().write_all(report.as_bytes());
    // A run in which nothing happened would have proven nothing.
    let is_lively = kills.len() > 1 && figures.complete > 50 && figures.cut > 50;
    assert!(is_lively && figures.statuses.contains_key(&403), "{report}");
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
    *figures.statuses.entry(seen.status.unwrap_or(0)).or_default() += 1;
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
        let billed = -rows.iter().map(|row| row.nano).sum::<i64>();
        assert!(billed <= on_its_way(seen), "paid for nothing: {seen:?} {rows:?}");
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
        let kill = kill.filter(|_| upstream.produced > 0);
        figures.lost_calls += usize::from(kill.is_some());
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
    let (prompt, cached, completion) = match script.usage {
        UsageFrames::None | UsageFrames::Null => {
            let completion = seen.call.estimated_completion(upstream.produced);
            (seen.call.estimated_prompt(), 0, completion)
        }
        UsageFrames::Last | UsageFrames::Every | UsageFrames::Finish => {
            (script.prompt, script.cached, upstream.produced)
        }
    };
    assert_eq!(seen.completion, Some(completion.into()), "{seen:?}");
    seen.call.model().cost(Consumed {
        prompt,
        cached,
        completion,
    })
}

/// The most that a call costs which no engine has worked for: the prompt, when its client left an
/// answer in one piece after the request had been sent and before the engine read it.
fn on_its_way(seen: &Seen) -> i64 {
    if seen.call.is_streamed || seen.status.is_some() {
        return 0;
    }
    seen.call.model().cost(Consumed {
        prompt: seen.call.estimated_prompt(),
        cached: 0,
        completion: 0,
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
    let mut paid = 0;
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
        paid -= of_kind("call");
        total += balance;
    }
    assert_eq!(nano(body["total_balance"].as_str().expect("a balance")), total);
    // A month may have turned meanwhile.
    let spent =
        ["spent_this_month", "spent_last_month"].map(|month| nano(body[month].as_str().expect("an amount")));
    assert_eq!(spent.iter().sum::<i64>(), paid, "spending of account {account}");
}

/// The bill names the calls of the ledger and their sums, of each kind.
async fn bill(world: &World, account: usize, rows: &[Row]) {
    let path = format!("/accounts/{}/bills?group_by=model", world.accounts[account].id);
    let total = world.get(&path).await["total"].take();
    let rows: Vec<&Row> = rows.iter().filter(|row| row.kind == "call").collect();
    let events: BTreeSet<&str> = rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(
        total["calls"],
        events.len(),
        "calls on the bill of account {account}"
    );
    for kind in ["voucher", "gift", "charge"] {
        let paid: i64 = rows
            .iter()
            .filter(|row| row.bucket.as_deref() == Some(kind))
            .map(|row| -row.nano)
            .sum();
        let billed = nano(total[kind].as_str().expect("an amount"));
        assert_eq!(billed, paid, "{kind} on the bill of account {account}");
    }
}

/// A key with a cap spends no more than that and what its engine produced unasked.
fn cap(world: &World, rows: &[Row]) {
    let seen = world.seen.lock().unwrap();
    let reserved: HashMap<&str, i64> = seen
        .iter()
        .map(|seen| (seen.call.marker(), seen.call.reserved()))
        .collect();
    let mut spent: HashMap<&str, i64> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind == "call") {
        let trace = row.trace.as_deref().expect("a call has a trace id");
        *spent.entry(trace).or_default() += row.shortfall - row.nano;
    }
    let unasked: i64 = spent
        .iter()
        .map(|(trace, spent)| (spent - reserved[trace]).max(0))
        .sum();
    let spent: i64 = spent.values().sum();
    assert!(
        spent <= nano(CAP) + unasked,
        "{spent} of {CAP}, {unasked} unasked"
    );
}
