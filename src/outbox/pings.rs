//! Pings of senders, whose pongs are waited for.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use crate::frame::Opcode;

use super::{Outbox, SendError};

/// Pings that may be on their way at the same time.
const PINGS_MAX: usize = 16;

/// What the payload of such a ping begins with: none of the keepalive's, which are of four bytes.
const MARK: [u8; 4] = *b"ping";

/// The pings of one connection, from the first on. The numbers go on, so that a late pong is none of a
/// later ping.
#[derive(Default)]
pub(super) struct Pings {
    next: u32,
    /// By number; at most [`PINGS_MAX`].
    waiting: BTreeMap<u32, Ping>,
}

enum Ping {
    /// Nobody has polled yet, or who has.
    OnItsWay(Option<Waker>),
    /// When the pong came, in microseconds of the connection's clock.
    Answered(u64),
}

impl Pings {
    /// Whoever waits, when there is nothing to wait for any more.
    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.waiting.into_values().filter_map(|ping| match ping {
            Ping::OnItsWay(waker) => waker,
            Ping::Answered(_) => None,
        })
    }
}

impl Outbox {
    /// Sends a ping that passes what waits; returns its number, for [`poll_pong`](Self::poll_pong) and
    /// [`end_ping`](Self::end_ping).
    pub(crate) fn begin_ping(&self) -> Result<u32, SendError> {
        let mut state = self.lock();
        state.check_open()?;
        let pings = state.rare.pings_or_new();
        if pings.waiting.len() >= PINGS_MAX {
            return Err(SendError::Full { messages: PINGS_MAX, bytes: 0 });
        }
        let number = pings.next;
        pings.next = number.wrapping_add(1);
        pings.waiting.insert(number, Ping::OnItsWay(None));
        drop(state);
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&MARK);
        payload[4..].copy_from_slice(&number.to_be_bytes());
        match self.send_control(Opcode::Ping, &payload) {
            Ok(_) => Ok(number),
            Err(error) => {
                self.end_ping(number);
                Err(error)
            }
        }
    }

    /// When the pong of this ping came.
    pub(crate) fn poll_pong(&self, number: u32, waker: &Waker) -> Poll<Result<u64, SendError>> {
        let mut state = self.lock();
        let ping = state.rare.pings().and_then(|pings| pings.waiting.get_mut(&number));
        match ping {
            None => Poll::Ready(Err(SendError::Closed)),
            Some(Ping::Answered(at_us)) => Poll::Ready(Ok(*at_us)),
            Some(Ping::OnItsWay(own)) => {
                *own = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Nobody waits for this pong any more.
    pub(crate) fn end_ping(&self, number: u32) {
        let mut state = self.lock();
        if let Some(pings) = state.rare.pings() {
            pings.waiting.remove(&number);
        }
    }

    /// A pong was read.
    pub(crate) fn handle_pong(&self, payload: &[u8], now_us: impl FnOnce() -> u64) {
        let Some(number) = payload.strip_prefix(&MARK) else { return };
        let Ok(number) = number.try_into().map(u32::from_be_bytes) else { return };
        let mut state = self.lock();
        let ping = state.rare.pings().and_then(|pings| pings.waiting.get_mut(&number));
        let waker = match ping {
            Some(ping @ Ping::OnItsWay(_)) => {
                match std::mem::replace(ping, Ping::Answered(now_us())) {
                    Ping::OnItsWay(waker) => waker,
                    Ping::Answered(_) => None,
                }
            }
            _ => None,
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}
