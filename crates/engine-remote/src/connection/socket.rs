//! What a connection is read from and written to.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

/// A socket, with or without TLS. The state of TLS is large, and most connections have none: it is not
/// part of the connection itself.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<dyn Duplex>),
}

/// What TLS makes of a socket.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl From<MaybeHttpsStream<TokioIo<TcpStream>>> for Socket {
    fn from(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        match stream {
            MaybeHttpsStream::Http(plain) => Self::Plain(plain.into_inner()),
            MaybeHttpsStream::Https(tls) => Self::Tls(Box::new(tls.into_inner())),
        }
    }
}

impl Socket {
    /// Reads what is there to the end of `buffer`, which gets room for `room` bytes when it has less than
    /// half of that. No bytes mean the end.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        if let Self::Plain(plain) = self {
            // Before there is room for it: most of the time nothing is there.
            ready!(plain.poll_read_ready(context))?;
        }
        if buffer.capacity() - buffer.len() < room / 2 {
            buffer.reserve(room);
        }
        match self {
            Self::Plain(plain) => pin!(plain.read_buf(buffer)).poll(context),
            Self::Tls(tls) => pin!(tls.read_buf(buffer)).poll(context),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => Pin::new(plain).poll_write_vectored(context, pieces),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(context, pieces),
        }
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) => Pin::new(plain).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    /// Whether small writes wait for nothing.
    #[cfg(test)]
    pub(crate) fn is_nodelay(&self) -> bool {
        matches!(self, Self::Plain(plain) if plain.nodelay().unwrap())
    }
}
