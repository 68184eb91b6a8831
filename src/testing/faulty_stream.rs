//! A byte stream with faults.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::chance::Chance;
use super::faults::{Faults, Pieces};
use super::valve::Valve;

/// A stream around another that does to what passes what its [`Faults`] say, and its [`Valve`].
///
/// When it is cut, the stream inside is dropped, so that the other end reads all that was written and then the end; this end
/// gets `ConnectionReset` for reads and `BrokenPipe` for writes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use sockeye::testing::{Faults, FaultyStream};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
///
/// let (ours, mut theirs) = duplex(1024);
/// let mut ours = FaultyStream::new(ours, Faults::new(1).cut_after_written(5));
/// assert!(ours.write_all(b"hello, world").await.is_err());
/// let mut came = String::new();
/// theirs.read_to_string(&mut came).await?;
/// assert_eq!(came, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FaultyStream<S> {
    /// `None`: it is cut.
    inner: Option<S>,
    faults: Faults,
    valve: Valve,
    read: Fate,
    write: Fate,
    flush: Fate,
    shutdown: Fate,
    /// What was written since the last flush: nothing to flush is nothing to wait for.
    is_dirty: bool,
    late: Late,
}

/// What happens to the next operation of a kind. Drawn once for each, however often it is polled, so that it hangs on the
/// seed and on nothing else.
#[derive(Debug)]
struct Fate {
    chance: Chance,
    drawn: Option<Drawn>,
}

#[derive(Clone, Copy, Debug)]
struct Drawn {
    is_stalled: bool,
    number: u64,
    latency: Duration,
}

impl Fate {
    const fn new(seed: u64, kind: u64) -> Self {
        Self { chance: Chance::new(seed ^ (kind << 56)), drawn: None }
    }

    /// Pending, once, where it is stalled.
    fn poll(&mut self, faults: &Faults, cx: &Context<'_>) -> Poll<Drawn> {
        let chance = &mut self.chance;
        let drawn = self.drawn.get_or_insert_with(|| Drawn {
            is_stalled: chance.happens(faults.stalls_per_mille),
            number: chance.any(),
            latency: faults.latency.0 + within(chance, faults.latency.1),
        });
        if std::mem::take(&mut drawn.is_stalled) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(*drawn)
    }

    /// The next operation is another one.
    const fn done(&mut self) {
        self.drawn = None;
    }
}

fn within(chance: &mut Chance, most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
    Duration::from_nanos(chance.below(nanos + 1))
}

impl Drawn {
    /// How many bytes of `most` are moved.
    fn piece(&self, pieces: Pieces, most: usize) -> usize {
        match pieces {
            Pieces::Whole => most,
            Pieces::Of(bytes) => most.min(bytes.max(1)),
            Pieces::UpTo(bytes) => most.min(1 + (self.number % bytes.max(1) as u64) as usize),
        }
    }
}

/// What was read and is not there yet.
#[derive(Debug, Default)]
struct Late {
    bytes: Vec<u8>,
    due: Option<Pin<Box<Sleep>>>,
}

impl<S> FaultyStream<S> {
    /// A stream with these faults.
    pub fn new(inner: S, faults: Faults) -> Self {
        let seed = faults.seed;
        Self {
            inner: Some(inner),
            faults,
            valve: Valve::default(),
            read: Fate::new(seed, 0),
            write: Fate::new(seed, 1),
            flush: Fate::new(seed, 2),
            shutdown: Fate::new(seed, 3),
            is_dirty: false,
            late: Late::default(),
        }
    }

    /// The hand on it.
    #[must_use]
    pub fn valve(&self) -> Valve {
        self.valve.clone()
    }

    /// What is wrong with it.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    fn cut(&mut self) {
        self.inner = None;
        self.valve.cut();
    }

    /// The stream, while there is one.
    fn live(&mut self, error: io::ErrorKind) -> io::Result<&mut S> {
        if self.valve.is_cut() {
            self.inner = None;
        }
        self.inner.as_mut().ok_or(error.into())
    }
}

impl<S: AsyncRead + Unpin> FaultyStream<S> {
    /// Reads a piece that comes later.
    fn poll_late(
        &mut self,
        cx: &mut Context<'_>,
        (most, latency): (usize, Duration),
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.late.due.is_none() {
            let mut bytes = vec![0; most];
            let mut piece = ReadBuf::new(&mut bytes);
            let inner = self.live(io::ErrorKind::ConnectionReset)?;
            ready!(Pin::new(inner).poll_read(cx, &mut piece))?;
            let len = piece.filled().len();
            bytes.truncate(len);
            let due = Instant::now() + latency;
            self.late = Late { bytes, due: Some(Box::pin(tokio::time::sleep_until(due))) };
        }
        if let Some(due) = &mut self.late.due {
            ready!(due.as_mut().poll(cx));
        }
        let len = self.late.bytes.len().min(buf.remaining());
        self.late.bytes.drain(..len).for_each(|byte| buf.put_slice(&[byte]));
        if self.late.bytes.is_empty() {
            self.late.due = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = self.live(io::ErrorKind::ConnectionReset)?;
        if most == buf.remaining() {
            return Pin::new(inner).poll_read(cx, buf);
        }
        let mut bytes = vec![0; most];
        let mut piece = ReadBuf::new(&mut bytes);
        ready!(Pin::new(inner).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FaultyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.valve.poll_may_read(cx));
        let drawn = ready!(this.read.poll(&this.faults, cx));
        this.live(io::ErrorKind::ConnectionReset)?;
        let left = this.faults.cut_read_at.saturating_sub(this.valve.read());
        if left == 0 {
            this.cut();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = buf.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
        let most = drawn.piece(this.faults.reads, most);
        let before = buf.filled().len();
        ready!(match drawn.latency.is_zero() {
            true => this.poll_piece(cx, most, buf),
            false => this.poll_late(cx, (most, drawn.latency), buf),
        })?;
        this.read.done();
        this.valve.note_read(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FaultyStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.valve.poll_may_write(cx));
        let drawn = ready!(this.write.poll(&this.faults, cx));
        this.live(io::ErrorKind::BrokenPipe)?;
        let left = this.faults.cut_written_at.saturating_sub(this.valve.written());
        if left == 0 && !bytes.is_empty() {
            this.cut();
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        this.is_dirty = true;
        let most = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let most = drawn.piece(this.faults.writes, most);
        let inner = this.live(io::ErrorKind::BrokenPipe)?;
        let len = ready!(Pin::new(inner).poll_write(cx, &bytes[..most]))?;
        this.write.done();
        this.valve.note_written(len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_write_vectored() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| slice));
        }
        let this = &mut *self;
        ready!(this.valve.poll_may_write(cx));
        ready!(this.write.poll(&this.faults, cx));
        this.is_dirty = true;
        let inner = this.live(io::ErrorKind::BrokenPipe)?;
        let len = ready!(Pin::new(inner).poll_write_vectored(cx, slices))?;
        this.write.done();
        this.valve.note_written(len);
        Poll::Ready(Ok(len))
    }

    /// Where all that is written is taken, only.
    fn is_write_vectored(&self) -> bool {
        let is_whole =
            self.faults.writes == Pieces::Whole && self.faults.cut_written_at == u64::MAX;
        is_whole && self.inner.as_ref().is_some_and(S::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_dirty {
            ready!(this.flush.poll(&this.faults, cx));
            this.flush.done();
            this.is_dirty = false;
        }
        Pin::new(this.live(io::ErrorKind::BrokenPipe)?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.shutdown.poll(&this.faults, cx));
        Pin::new(this.live(io::ErrorKind::BrokenPipe)?).poll_shutdown(cx)
    }
}
