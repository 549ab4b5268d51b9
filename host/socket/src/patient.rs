//! A TCP connection with patience: it ends when the peer stays silent at the start or takes nothing at the end.
//!
//! HTTP libraries time what they understand (a request's head, a ping). What comes before that, and a peer that has
//! stopped reading, only the socket sees.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Bytes after which a connection has said which protocol it speaks: the length of HTTP/2's preface.
const GREETING_BYTES: usize = 24;
/// How long a connection is kept to take what its peer had already sent when we hung up.
const LINGER: Duration = Duration::from_millis(500);

/// The socket under every connection.
#[derive(Debug)]
pub struct PatientSocket<S = TcpStream> {
    stream: S,
    greeting: Option<Pin<Box<Sleep>>>,
    greeted: usize,
    write_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    linger: Duration,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl PatientSocket {
    /// Wraps a fresh connection: `greeting` bounds the time to its first bytes, `write_timeout` every write.
    pub fn new(stream: TcpStream, greeting: Duration, write_timeout: Duration) -> Self {
        Self::over(stream, greeting, write_timeout, LINGER)
    }
}

impl<S> PatientSocket<S> {
    /// Wraps a stream inside another patient one, which lingers for both.
    pub(crate) fn inside(stream: S, greeting: Duration, write_timeout: Duration) -> Self {
        Self::over(stream, greeting, write_timeout, Duration::ZERO)
    }

    fn over(stream: S, greeting: Duration, write_timeout: Duration, linger: Duration) -> Self {
        Self {
            stream,
            greeting: Some(Box::pin(sleep(greeting))),
            greeted: 0,
            write_timeout,
            stalled: None,
            linger,
            lingering: None,
        }
    }

    /// A write that waits longer than it may is an error; any progress starts the time anew.
    fn patient<T>(&mut self, cx: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            return attempt;
        }
        let timeout = self.write_timeout;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no data")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let attempt = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(greeting) = &mut self.greeting else { return attempt };
        if attempt.is_pending() {
            ready!(greeting.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer says nothing")));
        }
        self.greeted = self.greeted.saturating_add(buf.filled().len().saturating_sub(before));
        if self.greeted >= GREETING_BYTES {
            self.greeting = None;
        }
        attempt
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PatientSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.patient(cx, attempt)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says that nothing more comes, then takes what the peer is still sending: closing on unread data would make the
    /// system discard the last reply, which tells the peer what it did wrong.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if self.linger.is_zero() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(Box::pin(sleep(self.linger)));
        }
        let mut scratch = [MaybeUninit::uninit(); 4096];
        let mut rounds = 0;
        loop {
            let is_over =
                self.lingering.as_mut().is_none_or(|lingering| lingering.as_mut().poll(cx).is_ready());
            let mut scratch = ReadBuf::uninit(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut scratch);
            if is_over || matches!(read, Poll::Ready(Err(_))) {
                return Poll::Ready(Ok(()));
            }
            ready!(read)?;
            rounds += 1;
            if scratch.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if rounds == 64 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.patient(cx, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
