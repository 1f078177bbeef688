use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::RemoteOptions;
use crate::authorities::tls;

/// A server that the test plays, and connections to it.
async fn server() -> (TcpListener, Connections) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = format!("http://{}", listener.local_addr().unwrap());
    let options = RemoteOptions::new(engine.as_str(), "m");
    let mut connector = HttpConnector::new_with_resolver(GuardedResolver {
        allow_private: true,
        limit: options.connect_limit,
    });
    connector.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(false, None).unwrap())
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let connections = Connections::new(engine.parse().unwrap(), connector, options.connect_limit);
    (listener, connections)
}

fn request(text: impl Into<Bytes>) -> Pieces {
    Pieces::from(text.into())
}

/// Reads until `end` has come.
async fn read_until(connection: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        assert_ne!(
            connection.read_buf(&mut seen).await.unwrap(),
            0,
            "a whole request"
        );
    }
    seen
}

async fn body_of(answer: Answer) -> Result<Bytes, TransferError> {
    answer.collect().await.map(http_body_util::Collected::to_bytes)
}

#[tokio::test]
async fn one_connection_carries_one_answer_after_the_other() {
    let (listener, connections) = server().await;
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nabc",
        ] {
            read_until(&mut connection, b"?").await;
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
        drop(connection);
        // The last answer was ended by its connection.
        let (mut connection, _) = listener.accept().await.unwrap();
        read_until(&mut connection, b"?").await;
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast")
            .await
            .unwrap();
    };
    let asking = async {
        for expected in ["abc", "abc", "", "abc", "last"] {
            let (_, answer) = connections.send(request("what?")).await.unwrap();
            assert_eq!(body_of(answer).await.unwrap(), expected);
        }
    };
    tokio::join!(serving, asking);
}

#[tokio::test]
async fn a_refusal_is_read_while_the_body_is_still_being_sent() {
    let (listener, connections) = server().await;
    // More than the buffers of two sockets take.
    let large = vec![b'x'; 64 * 1024 * 1024];
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let refusal = b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno";
        connection.write_all(refusal).await.unwrap();
        connection
    };
    let (_connection, answered) = tokio::join!(serving, connections.send(request(large)));
    let (head, answer) = answered.unwrap();
    assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body_of(answer).await.unwrap(), "no");
    assert_eq!(connections.idle(), 0, "the connection still carries the request");
}

#[tokio::test]
async fn a_body_of_many_pieces_arrives_in_order() {
    let (listener, connections) = server().await;
    let pieces: Vec<Bytes> = (0..100).map(|number: u32| format!("{number},").into()).collect();
    let mut sent = Pieces::default();
    for piece in &pieces {
        sent.push(piece.clone());
    }
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let seen = read_until(&mut connection, b"99,").await;
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        seen
    };
    let (seen, answered) = tokio::join!(serving, connections.send(sent));
    assert_eq!(seen, pieces.concat());
    assert_eq!(answered.unwrap().0.status, StatusCode::OK);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_not_used() {
    let (listener, connections) = server().await;
    let serving = async {
        for answer in ["one", "two"] {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_until(&mut connection, b"?").await;
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{answer}");
            connection.write_all(text.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
            // Until the other side has closed it as well.
            assert_eq!(connection.read(&mut [0]).await.unwrap(), 0);
        }
    };
    let asking = async {
        for expected in ["one", "two"] {
            let (_, answer) = connections.send(request("what?")).await.unwrap();
            assert_eq!(body_of(answer).await.unwrap(), expected);
            // Finds it closed, whenever that is known.
            while connections.idle() > 0 {
                if let Some(link) = connections.take_idle() {
                    connections.give_back(link, IDLE_LIMIT);
                }
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(serving, asking);
}

/// Servers that close a connection which waited too long may say so before they do.
#[tokio::test]
async fn a_farewell_is_no_answer_to_the_next_request() {
    let (listener, connections) = server().await;
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection
            .write_all(b"HTTP/1.1 408 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        connection
    };
    let (served, link) = tokio::join!(serving, connections.connect());
    let mut link = link.unwrap();
    // What is said before anything was asked.
    link.begin(Pieces::default());
    let answered = poll_fn(|context| link.poll_head(context)).await;
    assert!(matches!(answered, Err(TransferError::Closed)), "{answered:?}");
    drop(served);
}

#[tokio::test]
async fn a_connection_whose_engine_keeps_none_is_not_kept() {
    let (listener, connections) = server().await;
    for (field, kept) in [("keep-alive: timeout=1", 0), ("keep-alive: timeout=60", 1)] {
        let serving = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_until(&mut connection, b"?").await;
            let answer = format!("HTTP/1.1 200 OK\r\n{field}\r\ncontent-length: 1\r\n\r\na");
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection
        };
        let (_connection, answered) = tokio::join!(serving, connections.send(request("what?")));
        assert_eq!(body_of(answered.unwrap().1).await.unwrap(), "a");
        assert_eq!(connections.idle(), kept, "{field}");
    }
}

#[tokio::test]
async fn what_follows_an_answer_uninvited_ends_its_connection() {
    let (listener, connections) = server().await;
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_until(&mut connection, b"?").await;
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n")
            .await
            .unwrap();
        connection
    };
    let (_connection, answered) = tokio::join!(serving, connections.send(request("what?")));
    assert_eq!(body_of(answered.unwrap().1).await.unwrap(), "abc");
    assert_eq!(connections.idle(), 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told() {
    for (answer, is_broken) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", false),
    ] {
        let (listener, connections) = server().await;
        let serving = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_until(&mut connection, b"?").await;
            connection.write_all(answer.as_bytes()).await.unwrap();
        };
        let ((), answered) = tokio::join!(serving, connections.send(request("what?")));
        let body = body_of(answered.unwrap().1).await;
        assert_eq!(
            matches!(body, Err(TransferError::Closed)),
            is_broken,
            "{answer:?}"
        );
    }
    let (listener, connections) = server().await;
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_until(&mut connection, b"?").await;
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-le")
            .await
            .unwrap();
    };
    let ((), answered) = tokio::join!(serving, connections.send(request("what?")));
    assert!(matches!(answered, Err(RemoteError::Unreachable(_))));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (listener, connections) = server().await;
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_until(&mut connection, b"?").await;
        let field = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2 * head::LONGEST));
        // Fails once the other side has had enough.
        let _ = connection.write_all(field.as_bytes()).await;
        connection
    };
    let (_connection, answered) = tokio::join!(serving, connections.send(request("what?")));
    assert!(matches!(answered, Err(RemoteError::Unreachable(_))));
}

#[test]
fn a_connection_that_waits_takes_little() {
    assert!(size_of::<Answer>() <= 256, "{} bytes", size_of::<Answer>());
}
