//! One connection: TCP on one side, a byte stream over WebSocket on the other.

use std::io;
use std::time::Duration;

use sockeye::WebSocket;
use sockeye::net::ByteStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one read of TCP can bring, in bytes: a message.
const READ_BYTES: usize = 64 * 1024;

/// How often a stream whose peer has ended is flushed, so that pings are answered while TCP is silent.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Carries bytes both ways until both directions have ended, or one has failed.
pub(crate) async fn carry<S: ByteStream>(mut tcp: TcpStream, socket: WebSocket<S>) {
    let id = socket.id();
    let mut stream = socket.into_byte_stream();
    let (from_tcp, to_tcp) = tcp.split();
    let (from_socket, to_socket) = tokio::io::split(&mut stream);
    let carried = tokio::try_join!(up(from_tcp, to_socket), down(from_socket, to_tcp));
    let (code, reason) = match &carried {
        Ok(_) => (1000, ""),
        // An end that the other side can tell from a whole one.
        Err(_) => (1011, "connection lost"),
    };
    let closed = stream.close(code, reason).await;
    match (carried, closed) {
        (Ok((up, down)), Ok(_)) => eprintln!("connection {id}: {up} bytes up, {down} down"),
        (Err(error), _) => {
            eprintln!("connection {id}: {error}");
            reset(tcp);
        }
        (_, Err(error)) => eprintln!("connection {id}: {error}"),
    }
}

/// TCP to WebSocket.
async fn up(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<u64> {
    let mut block = vec![0; READ_BYTES];
    let mut flushes = tokio::time::interval(FLUSH_INTERVAL);
    flushes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut total = 0;
    loop {
        let len = tokio::select! {
            len = from.read(&mut block) => len?,
            _ = flushes.tick() => {
                to.flush().await?;
                continue;
            }
        };
        if len == 0 {
            break;
        }
        to.write_all(&block[..len]).await?;
        to.flush().await?;
        total += len as u64;
    }
    to.shutdown().await?;
    Ok(total)
}

/// WebSocket to TCP.
async fn down(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<u64> {
    let total = tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await?;
    Ok(total)
}

/// Ends TCP so that the other side sees an error, not an end.
pub(crate) fn reset(tcp: TcpStream) {
    // One that is gone already is reset, too.
    let _ = tcp.set_zero_linger();
    drop(tcp);
}
