//! The service of a peer that is a `Stream` and a `Sink` of messages, at its cheapest: all that is
//! there is read, then all of it answered, then flushed once, then waited for.
//!
//! Reading and answering do not alternate: some peers flush at each read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;

use crate::room::{Member, Room};
use crate::tokio_server::Service;

/// As many messages as are read before they are answered.
const BATCH_MAX: usize = 256;

/// What a peer's connection is, in one name.
pub trait Connection<M, E>: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin {}

impl<T, M, E> Connection<M, E> for T where
    T: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin
{
}

/// Serves until the connection ends. `is_data` tells messages for others from those that the
/// peer answers by itself.
///
/// # Errors
/// Of the connection.
pub async fn serve<M: Clone, E>(
    mut connection: impl Connection<M, E>,
    service: Service,
    room: &Room<M>,
    is_data: fn(&M) -> bool,
) -> Result<(), E> {
    match service {
        Service::Echo => {
            let mut held = VecDeque::new();
            poll_fn(|cx| poll_echo(&mut connection, &mut held, is_data, cx)).await
        }
        Service::Chat => {
            let member = room.join();
            let mut held = None;
            poll_fn(|cx| poll_chat(&mut connection, &mut held, &member, is_data, cx)).await
        }
    }
}

/// `held` is what is not answered yet.
fn poll_echo<M, E>(
    connection: &mut impl Connection<M, E>,
    held: &mut VecDeque<M>,
    is_data: fn(&M) -> bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), E>> {
    let mut connection = Pin::new(connection);
    loop {
        while held.len() < BATCH_MAX {
            match connection.as_mut().poll_next(cx)? {
                Poll::Ready(Some(message)) if is_data(&message) => held.push_back(message),
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return connection.poll_flush(cx),
                Poll::Pending => break,
            }
        }
        let is_drained = held.len() < BATCH_MAX;
        while !held.is_empty() {
            ready!(connection.as_mut().poll_ready(cx))?;
            if let Some(message) = held.pop_front() {
                connection.as_mut().start_send(message)?;
            }
        }
        let _ = connection.as_mut().poll_flush(cx)?;
        if is_drained {
            return Poll::Pending;
        }
    }
}

fn poll_chat<M: Clone, E>(
    connection: &mut impl Connection<M, E>,
    held: &mut Option<M>,
    member: &Member<M>,
    is_data: fn(&M) -> bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), E>> {
    let mut connection = Pin::new(connection);
    loop {
        match connection.as_mut().poll_next(cx)? {
            Poll::Ready(Some(message)) if is_data(&message) => member.publish(&message),
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => return connection.poll_flush(cx),
            Poll::Pending => break,
        }
    }
    loop {
        *held = held.take().or_else(|| member.next());
        if held.is_some() {
            ready!(connection.as_mut().poll_ready(cx))?;
        }
        if let Some(message) = held.take() {
            connection.as_mut().start_send(message)?;
        } else if member.poll_queued(cx).is_pending() {
            let _ = connection.poll_flush(cx)?;
            return Poll::Pending;
        }
    }
}
