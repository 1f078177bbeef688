//! A journal in good health.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use rusqlite::Connection;
use silica_journal::{Closed, Durability, Journal, JournalError, JournalOptions};

use crate::support::{Log, Place, all, append_all, event, events_of, gate_is, options, until};

#[tokio::test]
async fn events_come_back_in_the_order_in_which_they_were_appended() {
    let place = Place::new();
    let journal = place.open();
    let events = append_all(&journal, 2000).await;
    assert_eq!(journal.backlog(), 2000);
    let entries = journal.unapplied(5000).await.unwrap();
    assert!(entries.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(events_of(entries), events);
    assert_eq!(events_of(journal.unapplied(3).await.unwrap()), events[..3]);
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_callers_finds_its_events_in_its_order() {
    let place = Place::new();
    let journal = place.open();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let journal = journal.clone();
            async move {
                let mut ids = Vec::new();
                for amount in 0..100 {
                    let event = event(amount);
                    ids.push(event.id);
                    journal.append(event).await.unwrap();
                }
                ids
            }
        })
        .collect();
    let ids = futures::future::join_all(callers).await;
    let found: Vec<_> = all(&journal).await.into_iter().map(|event| event.id).collect();
    assert_eq!(found.len(), 800);
    for mine in ids {
        let kept: Vec<_> = found.iter().copied().filter(|id| mine.contains(id)).collect();
        assert_eq!(kept, mine);
    }
    journal.close().await;
}

#[tokio::test]
async fn dropped_commit_does_not_undo_its_append() {
    let place = Place::new();
    let journal = place.open();
    let first = event(1);
    drop(journal.append(first.clone()));
    let second = event(2);
    journal.append(second.clone()).await.unwrap();
    assert_eq!(all(&journal).await, [first, second]);
    journal.close().await;
}

#[tokio::test]
async fn forgotten_events_are_gone_at_once_and_after_reopening() {
    let place = Place::new();
    let journal = place.open();
    let events = append_all(&journal, 100).await;
    let entries = journal.unapplied(40).await.unwrap();
    journal.forget(entries[39].sequence);
    assert_eq!(all(&journal).await, events[40..], "before the writer got to it");
    until(|| journal.backlog() == 60).await;
    assert_eq!(all(&journal).await, events[40..]);
    journal.close().await;

    let journal = place.open();
    assert_eq!(journal.backlog(), 60);
    assert_eq!(all(&journal).await, events[40..]);
    let later = event(101);
    journal.append(later.clone()).await.unwrap();
    let entries = journal.unapplied(100).await.unwrap();
    assert!(entries.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(entries[60].event, later);
    journal.close().await;
}

#[tokio::test]
async fn numbers_go_on_when_all_was_forgotten() {
    let place = Place::new();
    let journal = place.open();
    append_all(&journal, 5).await;
    let last = journal.unapplied(5).await.unwrap()[4].sequence;
    journal.forget(last);
    journal.close().await;
    let journal = place.open();
    assert_eq!(journal.backlog(), 0);
    append_all(&journal, 1).await;
    assert!(journal.unapplied(1).await.unwrap()[0].sequence > last);
    journal.close().await;
}

#[tokio::test]
async fn both_durabilities_keep_events_over_reopening() {
    for durability in [Durability::Process, Durability::Disk] {
        let place = Place::new();
        let options = || JournalOptions {
            durability,
            preallocate: 1 << 20,
            ..options(&place.path())
        };
        let journal = Journal::open(options()).unwrap();
        let events = append_all(&journal, 50).await;
        journal.close().await;
        let journal = Journal::open(options()).unwrap();
        assert_eq!(all(&journal).await, events, "{durability}");
        assert_eq!(journal.gate(), Ok(()));
        journal.close().await;
    }
}

#[tokio::test]
async fn what_is_queued_together_is_committed_together() {
    let place = Place::new();
    let journal = place.open();
    append_all(&journal, 2000).await;
    let wal = place.path().with_extension("db-wal");
    let bytes = std::fs::metadata(wal).unwrap().len();
    // Each commit of its own writes a page of 8 KiB at the least, which is 16 MiB together.
    assert!(
        bytes < 1 << 20,
        "{bytes} bytes were written for 2000 events of about 250"
    );
    journal.close().await;
}

#[tokio::test]
async fn wal_does_not_grow_for_ever() {
    let place = Place::new();
    let journal = place.open();
    // 20 MiB go through it.
    for _ in 0..20 {
        append_all(&journal, 4000).await;
        let last = journal.unapplied(4000).await.unwrap().pop().unwrap();
        journal.forget(last.sequence);
    }
    let wal = place.path().with_extension("db-wal");
    let bytes = std::fs::metadata(wal).unwrap().len();
    assert!(bytes < 12 << 20, "{bytes}");
    journal.close().await;
}

#[tokio::test]
async fn committed_tells_of_what_came_before_and_of_what_waited_at_the_start() {
    let place = Place::new();
    let journal = place.open();
    append_all(&journal, 3).await;
    journal.committed().await;
    let waiting = journal.clone();
    let told = async move { waiting.committed().await };
    let append = async { append_all(&journal, 1).await };
    futures::future::join(told, append).await;
    journal.close().await;

    let journal = place.open();
    journal.committed().await;
    journal.close().await;
}

#[tokio::test]
async fn backlog_over_its_size_closes_the_gate_until_it_is_forgotten() {
    let place = Place::new();
    let journal = Journal::open(JournalOptions {
        max_size: 200_000,
        ..options(&place.path())
    })
    .unwrap();
    assert_eq!(journal.gate(), Ok(()));
    append_all(&journal, 2000).await;
    gate_is(&journal, Err(Closed::Backlog)).await;
    append_all(&journal, 1).await;
    let last = journal.unapplied(usize::MAX).await.unwrap().pop().unwrap();
    journal.forget(last.sequence);
    gate_is(&journal, Ok(())).await;
    assert_eq!(journal.backlog(), 0);
    journal.close().await;
}

#[tokio::test]
async fn file_that_cannot_be_written_closes_the_gate_until_it_can() {
    let place = Place::new();
    let journal = place.open();
    let mut events = append_all(&journal, 3).await;
    let first = journal.unapplied(1).await.unwrap()[0].sequence;
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (next, last) = (event(4), event(5));
    let commit = journal.append(next.clone());
    journal.forget(first);
    gate_is(&journal, Err(Closed::Failing)).await;
    let later = journal.append(last.clone());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    commit.await.unwrap();
    later.await.unwrap();
    gate_is(&journal, Ok(())).await;
    events.extend([next, last]);
    assert_eq!(all(&journal).await, events[1..]);
    until(|| journal.backlog() == 4).await;
    journal.close().await;
}

#[tokio::test]
async fn closed_journal_commits_what_is_queued_and_refuses_the_rest() {
    let place = Place::new();
    let journal = place.open();
    let late = journal.clone();
    let commits: Vec<_> = (0..100).map(|amount| journal.append(event(amount))).collect();
    journal.close().await;
    for commit in commits {
        commit.await.unwrap();
    }
    assert_eq!(late.gate(), Err(Closed::ShutDown));
    assert!(matches!(late.append(event(1)).await, Err(JournalError::Closed)));
    assert!(matches!(late.unapplied(1).await, Err(JournalError::Closed)));
    assert_eq!(late.backlog(), 100);
    drop(late);
    let journal = place.open();
    assert_eq!(journal.backlog(), 100);
    journal.close().await;
}

#[tokio::test]
async fn dropping_the_last_clone_commits_what_is_queued() {
    let place = Place::new();
    let journal = place.open();
    let commit = journal.append(event(1));
    drop(journal);
    commit.await.unwrap();
    // The threads end by themselves; until then the file is theirs.
    until(|| match Journal::open(options(&place.path())) {
        Ok(journal) => journal.backlog() == 1,
        Err(JournalError::InUse { .. }) => false,
        Err(error) => panic!("{error}"),
    })
    .await;
}

#[tokio::test]
async fn append_needs_no_runtime() {
    let place = Place::new();
    let journal = Arc::new(place.open());
    let appender = Arc::clone(&journal);
    let commit = std::thread::spawn(move || appender.append(event(1)))
        .join()
        .unwrap();
    commit.await.unwrap();
    assert_eq!(journal.backlog(), 1);
}

#[tokio::test]
async fn events_are_committed_and_the_gate_stays_open_while_forgetting_fails() {
    let place = Place::new();
    let log = Log::of_this_process();
    let journal = place.open();
    append_all(&journal, 20).await;
    let other = Connection::open(place.path()).unwrap();
    other
        .execute_batch("CREATE TRIGGER t BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    for forgotten in 1..=10 {
        // Together with an event and by itself.
        let first = journal.unapplied(1).await.unwrap()[0].sequence;
        journal.forget(first);
        for amount in 0..10 {
            journal.append(event(amount)).await.unwrap();
            assert_eq!(journal.gate(), Ok(()), "{forgotten}");
        }
    }
    assert_eq!(journal.backlog(), 120, "nothing was deleted");
    let path = place.path().display().to_string();
    until(|| {
        log.lines_with(&path)
            .iter()
            .any(|line| line.contains("cannot forget"))
    })
    .await;
    other.execute_batch("DROP TRIGGER t").unwrap();
    // Without another event or forget.
    until(|| journal.backlog() == 110).await;
    assert_eq!(all(&journal).await.len(), 110);
    let lines = log.lines_with(&path);
    assert_eq!(lines.len(), 1, "{lines:?}");
    journal.close().await;
}

#[tokio::test]
async fn journal_closes_while_forgetting_fails_and_forgets_after_the_next_start() {
    let place = Place::new();
    let journal = place.open();
    append_all(&journal, 3).await;
    let other = Connection::open(place.path()).unwrap();
    other
        .execute_batch("CREATE TRIGGER t BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    journal.forget(journal.unapplied(1).await.unwrap()[0].sequence);
    let commit = journal.append(event(4));
    journal.close().await;
    commit.await.unwrap();
    other.execute_batch("DROP TRIGGER t").unwrap();
    drop(other);
    let journal = place.open();
    assert_eq!(journal.backlog(), 4);
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_committed_while_the_reserve_is_filled() {
    let place = Place::new();
    let journal = Journal::open(JournalOptions {
        preallocate: 8 << 20,
        ..options(&place.path())
    })
    .unwrap();
    // More than half of the reserve, several times: the keeper refills it meanwhile.
    let mut expected = Vec::new();
    for _ in 0..3 {
        for _ in 0..6 {
            expected.extend(append_all(&journal, 4000).await);
        }
        assert!(all(&journal).await == expected);
        let last = journal.unapplied(usize::MAX).await.unwrap().pop().unwrap();
        journal.forget(last.sequence);
        expected.clear();
    }
    until(|| journal.backlog() == 0).await;
    assert_eq!(journal.gate(), Ok(()));
    journal.close().await;
}

#[tokio::test]
async fn metrics_tell_from_the_start_what_waits_and_whether_calls_are_admitted() {
    let (place, _) = Place::with_events(3).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let opened = |options| {
        let journal = metrics::with_local_recorder(&recorder, || Journal::open(options)).unwrap();
        (journal, recorder.handle().render())
    };
    let (journal, text) = opened(options(&place.path()));
    assert!(text.contains("silica_journal_backlog 3\n"), "{text}");
    assert!(text.contains("silica_journal_open 1\n"), "{text}");
    journal.close().await;
    let (journal, text) = opened(JournalOptions {
        min_free: u64::MAX,
        ..options(&place.path())
    });
    assert!(text.contains("silica_journal_open 0\n"), "{text}");
    journal.close().await;
}
