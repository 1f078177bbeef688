use super::*;

fn head(text: &str) -> Result<Option<Head>, TransferError> {
    take(&mut BytesMut::from(text))
}

/// The head of an answer with these fields.
fn with(fields: &str) -> Head {
    head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
        .unwrap()
        .unwrap()
}

fn can_wait(head: Head) -> bool {
    head.waits.is_none_or(|most| !most.is_zero())
}

#[test]
fn a_connection_waits_for_less_than_its_engine_does() {
    for (fields, seconds) in [
        ("", None),
        ("keep-alive: max=7\r\n", None),
        ("keep-alive: timeout=5, max=7\r\n", Some(4)),
        ("keep-alive: timeout=1\r\n", Some(0)),
        ("keep-alive: timeout=0\r\n", Some(0)),
        ("keep-alive: timeout=soon\r\n", None),
    ] {
        let head = with(&format!("content-length: 1\r\n{fields}"));
        assert_eq!(head.waits, seconds.map(Duration::from_secs), "{fields:?}");
    }
}

#[test]
fn what_follows_the_head_stays() {
    let mut received = BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
    let head = take(&mut received).unwrap().unwrap();
    assert_eq!((head.status, head.framing), (StatusCode::OK, Framing::Length(3)));
    assert_eq!(received, b"abc"[..]);
}

#[test]
fn a_head_that_is_not_whole_takes_nothing() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
    for end in 0..whole.len() {
        let mut received = BytesMut::from(&whole[..end]);
        assert!(take(&mut received).unwrap().is_none(), "{end}");
        assert_eq!(received.len(), end);
    }
}

#[test]
fn heads_that_only_announce_the_answer_are_left_out() {
    let text =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 429 Slow\r\n\r\n";
    assert_eq!(head(text).unwrap().unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    let many = "HTTP/1.1 102 Soon\r\n\r\n".repeat(MOST_INTERIM + 1);
    assert!(matches!(head(&many), Err(TransferError::Head(_))));
}

#[test]
fn the_end_is_known_by_length_chunks_or_the_connections_end() {
    for (fields, framing, waits) in [
        ("content-length: 12\r\n", Framing::Length(12), true),
        (
            "Content-Length: 12\r\nCONTENT-LENGTH:12\r\n",
            Framing::Length(12),
            true,
        ),
        ("transfer-encoding: Chunked\r\n", Framing::chunked(), true),
        (
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            Framing::chunked(),
            false,
        ),
        (
            "content-length: 1\r\nconnection: x, Close\r\n",
            Framing::Length(1),
            false,
        ),
        (
            "content-length: 1\r\nconnection: close\r\nconnection: keep-alive\r\n",
            Framing::Length(1),
            false,
        ),
        (
            "content-length: 1\r\nconnection: keep-alive\r\nconnection: close\r\n",
            Framing::Length(1),
            false,
        ),
        ("", Framing::UntilClose, false),
    ] {
        let head = with(fields);
        assert_eq!((head.framing, can_wait(head)), (framing, waits), "{fields:?}");
    }
    let older = |fields: &str| head(&format!("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n{fields}\r\n"));
    assert!(!can_wait(older("").unwrap().unwrap()));
    assert!(can_wait(older("connection: keep-alive\r\n").unwrap().unwrap()));
    let refusal = head("HTTP/1.1 400 No\r\ncontent-length: 1\r\n\r\n");
    assert!(!can_wait(refusal.unwrap().unwrap()), "it may not have read all");
    let empty = head("HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(empty.framing, Framing::Length(0));
}

#[test]
fn heads_that_say_two_things_are_refused() {
    let many = "x: y\r\n".repeat(MOST_FIELDS + 1);
    for fields in [
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: 1, 1\r\n",
        "content-length: -1\r\n",
        "content-length: \u{a0}5\r\n",
        "transfer-encoding: \u{a0}chunked\r\n",
        "content-length: +1\r\n",
        "content-length: \r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "content length: 1\r\n",
        ": 1\r\n",
        &many,
    ] {
        let refused = head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        assert!(
            matches!(refused, Err(TransferError::Head(_))),
            "{fields:?}: {refused:?}"
        );
    }
    for text in [
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 99 No\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "\u{16}\u{3}\u{1}\n",
    ] {
        assert!(matches!(head(text), Err(TransferError::Head(_))), "{text:?}");
    }
}

#[test]
fn the_content_is_known_by_its_type_whatever_follows_that() {
    for (value, content) in [
        ("text/event-stream", Content::Events),
        ("Text/Event-Stream; charset=utf-8", Content::Events),
        ("application/json;charset=utf-8", Content::Json),
        ("application/jsonl", Content::Other),
        ("text/html", Content::Other),
        ("", Content::Other),
    ] {
        assert_eq!(
            with(&format!("content-type: {value}\r\n")).content,
            content,
            "{value}"
        );
    }
    assert_eq!(with("").content, Content::Other);
}

#[test]
fn a_body_is_packed_unless_it_says_that_it_is_not() {
    assert!(!with("").is_packed);
    assert!(!with("content-encoding: Identity\r\ncontent-encoding:\r\n").is_packed);
    for fields in [
        "content-encoding: gzip\r\n",
        "content-encoding: identity\r\ncontent-encoding: br\r\n",
        "content-encoding: \u{e9}\r\n",
    ] {
        assert!(with(fields).is_packed, "{fields}");
    }
}

#[test]
fn the_wait_that_an_engine_asks_for_is_read_in_seconds_and_as_a_date_of_its_own_clock() {
    const NOW: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    for (wanted, now, expected) in [
        (" 120", None, Some(120)),
        ("Wed, 21 Oct 2015 07:30:05 GMT", Some(NOW), Some(125)),
        ("Wednesday, 21-Oct-15 07:30:05 GMT", Some(NOW), Some(125)),
        ("Wed, 21 Oct 2015 07:27:59 GMT", Some(NOW), Some(0)),
        ("Wed, 21 Oct 2015 07:30:05 GMT", None, None),
        ("Wed, 21 Oct 2015 07:30:05 GMT", Some("today"), None),
        ("soon", Some(NOW), None),
        ("-1", Some(NOW), None),
        ("+5", Some(NOW), None),
        ("", Some(NOW), None),
    ] {
        let mut fields = format!("retry-after: {wanted}\r\n");
        if let Some(now) = now {
            fields = format!("{fields}date: {now}\r\n");
        }
        assert_eq!(
            with(&fields).retry_after,
            expected.map(Duration::from_secs),
            "{wanted}"
        );
    }
    assert_eq!(with("").retry_after, None);
}
