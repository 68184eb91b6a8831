//! Connecting to a host with several addresses (RFC 8305).

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::net::NetStream;

use super::dial::{BoxFuture, Dial};

/// How long an attempt has before the next begins beside it. Source: RFC 8305 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Most addresses that are tried: a name with a thousand addresses is no reason for a thousand sockets.
const ATTEMPTS_MAX: usize = 8;

/// Most addresses that are looked at at all.
const ADDRESSES_MAX: usize = 64;

type Attempt<'a> = BoxFuture<'a, io::Result<NetStream>>;

/// Connects to the first address that answers: each attempt begins 250 ms after the one before, or when
/// that failed, the families in turn. The others are dropped. The error is that of the first attempt.
///
/// Source: RFC 8305 4, 5.
pub(crate) async fn connect(dial: &dyn Dial, addresses: &[SocketAddr]) -> io::Result<NetStream> {
    let mut waiting = in_turn(addresses).into_iter().take(ATTEMPTS_MAX).peekable();
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    let mut first_error = None;
    let mut delay = pin!(sleep(ATTEMPT_DELAY));
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(dial.connect(address));
            delay.as_mut().reset(Instant::now() + ATTEMPT_DELAY);
        } else if attempts.is_empty() {
            let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            return Err(first_error.unwrap_or_else(none));
        }
        let has_more = waiting.peek().is_some();
        match poll_fn(|cx| poll_event(&mut attempts, delay.as_mut(), has_more, cx)).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => {
                first_error.get_or_insert(error);
            }
            None => {}
        }
    }
}

/// An attempt that came to its end, or `None` when it is time for the next.
fn poll_event(
    attempts: &mut Vec<Attempt<'_>>,
    delay: Pin<&mut Sleep>,
    has_more: bool,
    cx: &mut Context<'_>,
) -> Poll<Option<io::Result<NetStream>>> {
    for index in 0..attempts.len() {
        if let Poll::Ready(result) = attempts[index].as_mut().poll(cx) {
            // In the order in which they began, so that the best one wins a draw.
            drop(attempts.remove(index));
            return Poll::Ready(Some(result));
        }
    }
    if has_more && delay.poll(cx).is_ready() {
        return Poll::Ready(None);
    }
    Poll::Pending
}

/// The addresses with the two families in turn, beginning with that of the first, each address once.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        if !unique.contains(address) {
            unique.push(*address);
        }
    }
    let starts_with_v6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == starts_with_v6);
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return merged,
            (one, other) => merged.extend(one.into_iter().chain(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let list = of(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let expected = of(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(in_turn(&list), expected);
        assert_eq!(in_turn(&of(&["1.1.1.1:1", "[::1]:1"])), of(&["1.1.1.1:1", "[::1]:1"]));
        assert!(in_turn(&[]).is_empty());
    }
}
