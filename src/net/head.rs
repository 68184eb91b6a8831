//! Reading the head of the opening handshake from a stream, for both sides.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::handshake::HandshakeError;

use super::line::ByteStream;
use super::pool;

/// Reads until `receive` says how many of the bytes it was given belong to the head, and returns
/// those that follow.
///
/// The thread's block is read into, so that a peer that says nothing costs no buffer.
pub(crate) async fn read_head<S, E>(
    stream: &mut S,
    mut receive: impl FnMut(&[u8]) -> Result<Option<usize>, HandshakeError>,
) -> Result<Vec<u8>, E>
where
    S: ByteStream,
    E: From<HandshakeError> + From<io::Error>,
{
    poll_fn(|cx| {
        loop {
            if let Some(input) = ready!(poll_piece::<S, E>(stream, cx, &mut receive))? {
                return Poll::Ready(Ok(input));
            }
        }
    })
    .await
}

fn poll_piece<S, E>(
    stream: &mut S,
    cx: &mut Context<'_>,
    receive: &mut impl FnMut(&[u8]) -> Result<Option<usize>, HandshakeError>,
) -> Poll<Result<Option<Vec<u8>>, E>>
where
    S: ByteStream,
    E: From<HandshakeError> + From<io::Error>,
{
    let mut block = pool::take_block();
    let mut buf = ReadBuf::new(&mut block);
    let poll = Pin::new(stream).poll_read(cx, &mut buf);
    let filled = buf.filled();
    let taken = match &poll {
        Poll::Ready(Ok(())) if filled.is_empty() => Err(HandshakeError::Closed),
        Poll::Ready(Ok(())) => receive(filled),
        _ => Ok(None),
    };
    let input = taken.map(|taken| taken.map(|taken| filled[taken..].to_vec()));
    pool::put_block(block);
    ready!(poll)?;
    Poll::Ready(input.map_err(E::from))
}
