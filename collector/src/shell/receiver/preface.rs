//! The first bytes of a connection: HTTP/2 begins with a fixed text (RFC 9113, 3.4), HTTP/1.1 with anything else.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream of which the first bytes were read, and are read again.
pub(super) struct Begun<S> {
    stream: S,
    head: [u8; PREFACE.len()],
    /// The part of `head` that is still to be read.
    unread: std::ops::Range<usize>,
}

/// Reads until it is clear which protocol it is: true for HTTP/2. An end before that is an error.
pub(super) async fn read<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Begun<S>, bool)> {
    let mut head = [0; PREFACE.len()];
    let mut len = 0;
    while len < head.len() && head[..len] == PREFACE[..len] {
        match stream.read(&mut head[len..]).await? {
            0 if len == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            // What came is not HTTP/2 as a whole; HTTP/1.1 says what is wrong with it.
            0 => break,
            count => len += count,
        }
    }
    let is_http2 = head[..len] == PREFACE[..];
    let unread = 0..len;
    let begun = Begun {
        stream,
        head,
        unread,
    };
    Ok((begun, is_http2))
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = this.unread.len().min(buf.remaining());
        let end = this.unread.start + count;
        buf.put_slice(&this.head[this.unread.start..end]);
        this.unread.start = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Pieces that arrive one after the other give a protocol, and all of them are read again.
    async fn check(pieces: &[&[u8]], expect: Option<bool>) {
        let (mut client, server) = tokio::io::duplex(8);
        let write = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                client.flush().await.unwrap();
            }
            drop(client);
        };
        let serve = async {
            let (mut begun, is_http2) = match read(server).await {
                Ok(read) => read,
                Err(error) => {
                    assert_eq!((error.kind(), expect), (io::ErrorKind::UnexpectedEof, None));
                    return;
                }
            };
            assert_eq!(Some(is_http2), expect, "{pieces:?}");
            let mut all = Vec::new();
            begun.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, pieces.concat());
        };
        tokio::join!(write, serve);
    }

    #[tokio::test]
    async fn protocols_are_told_apart() {
        check(&[PREFACE, b"more"], Some(true)).await;
        check(&[b"PRI * HT", b"TP/2.0\r\n\r\nSM\r\n\r", b"\n"], Some(true)).await;
        check(&[b"POST / HTTP/1.1\r\n\r\n"], Some(false)).await;
        check(
            &[b"P", b"RI * HTTP/1.1\r\n\r\n and more than the preface"],
            Some(false),
        )
        .await;
        check(&[b"PRI"], Some(false)).await;
        check(&[], None).await;
    }
}
