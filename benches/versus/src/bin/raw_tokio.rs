//! The floor under any tokio server: what `raw` does, in one task per connection.
//!
//! `/echo` only. A frame longer than the block is gathered in memory of the connection.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use versus::options::Options;
use versus::raw::batch::Batch;
use versus::raw::large::{Large, Progress};
use versus::raw::{BLOCK_BYTES, Gone, LARGE_BYTES};
use versus::tokio_server;

/// What all connections of the thread share.
struct Scratch {
    block: Vec<u8>,
    batch: Batch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        block: vec![0; BLOCK_BYTES],
        batch: Batch::default(),
    });
}

/// What one read led to.
struct Turn {
    /// What the kernel refused to send.
    refused: Vec<u8>,
    is_over: bool,
    /// A frame that does not fit the block.
    large: Option<Box<Large>>,
}

fn main() -> io::Result<()> {
    tokio_server::run(&Options::from_env(), serve)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    // Boxed, as all that is rare: a task takes the room of its largest wait.
    Box::pin(tokio_server::upgrade(&stream)).await?;
    let mut input = Vec::new();
    loop {
        let mut turn = std::future::poll_fn(|cx| poll_turn(&mut stream, &mut input, cx)).await?;
        while let Some(large) = turn.large.take() {
            stream.write_all(&turn.refused).await?;
            let mut block = Box::pin(serve_large(&mut stream, large)).await?;
            turn = SCRATCH.with_borrow_mut(|scratch| {
                answer(&stream, &mut input, &mut block, &mut scratch.batch)
            })?;
        }
        if !turn.refused.is_empty() {
            stream.write_all(&turn.refused).await?;
        }
        if turn.is_over {
            return Ok(());
        }
    }
}

/// One read, and the replies to what it brought.
fn poll_turn(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Turn>> {
    SCRATCH.with_borrow_mut(|Scratch { block, batch }| {
        let carried = input.len();
        block[..carried].copy_from_slice(input);
        let mut space = ReadBuf::new(&mut block[carried..]);
        std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut space))?;
        let received = space.filled().len();
        if received == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(answer(stream, input, &mut block[..carried + received], batch))
    })
}

fn answer(
    stream: &TcpStream,
    input: &mut Vec<u8>,
    block: &mut [u8],
    batch: &mut Batch,
) -> io::Result<Turn> {
    batch.clear();
    let rest = batch.take(block).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut refused = send(stream, batch, block)?;
    refused.extend_from_slice(&batch.control);
    *input = Vec::new();
    let bytes = &block[rest.start..];
    let large = match rest.header {
        Some(header) if header.frame_len() > LARGE_BYTES => Some(Large::new(header, bytes)),
        _ => {
            input.extend_from_slice(bytes);
            None
        }
    };
    Ok(Turn { refused, is_over: batch.is_closed, large: large.map(Box::new) })
}

/// Sends the replies in one call; returns what the kernel refused.
fn send(stream: &TcpStream, batch: &Batch, block: &[u8]) -> io::Result<Vec<u8>> {
    let result = match batch.segment_count() {
        0 => return Ok(Vec::new()),
        1 => stream.try_write(batch.segments(block).next().unwrap_or_default()),
        _ => {
            let slices: Vec<_> = batch.segments(block).map(IoSlice::new).collect();
            stream.try_write_vectored(&slices)
        }
    };
    let mut skipped = match result {
        Ok(sent) => sent,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    let mut refused = Vec::new();
    for segment in batch.segments(block) {
        let within = skipped.min(segment.len());
        skipped -= within;
        refused.extend_from_slice(&segment[within..]);
    }
    Ok(refused)
}

/// Echoes large frames until something else comes, which is returned.
async fn serve_large(stream: &mut TcpStream, mut large: Box<Large>) -> io::Result<Vec<u8>> {
    loop {
        stream.readable().await?;
        let read = stream.try_io(Interest::READABLE, || match large.read(&*stream) {
            Ok(Progress::Idle) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(progress) => Ok(progress),
            Err(Gone) => Err(io::ErrorKind::UnexpectedEof.into()),
        });
        match read {
            Ok(Progress::Reply) => stream.write_all(large.take_reply()).await?,
            Ok(Progress::Small(bytes)) => return Ok(bytes),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
