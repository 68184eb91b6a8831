//! The rooms: who comes, who goes, and what is said.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use sockeye::Sender;
use sockeye::hub::{BroadcastError, Hub, HubError, Membership, Room};
use tokio::runtime::Handle;

use super::guest::{Guest, ROOM_BYTES_MAX};
use super::protocol::ServerMessage;

/// All rooms of the chat. Cloning counts a reference.
///
/// Whatever changes a room or is said in it happens in one order, whichever threads the members are
/// on: counts never go back in time, and a member misses nothing that is said after its `joined`.
#[derive(Clone)]
pub(crate) struct Rooms {
    hub: Hub,
    order: Arc<Mutex<()>>,
}

impl Rooms {
    pub(crate) fn new() -> Result<Self, HubError> {
        let hub = Hub::builder().room_name_bytes_max(ROOM_BYTES_MAX).build()?;
        Ok(Self { hub, order: Arc::default() })
    }

    pub(crate) fn enter(&self, guest: &Guest, sender: &Sender) -> Seat {
        let id = sender.id();
        let room = self.hub.room(&guest.room);
        let order = self.lock();
        let joined = ServerMessage::Joined {
            id: &id.to_string(),
            room: &guest.room,
            name: &guest.name,
            people: room.len() + 1,
        };
        // Before it is in the room, so that nothing overtakes it. A connection that is closed
        // already leaves at once.
        let _ = sender.try_send(joined.to_json());
        let membership = match room.join(sender.clone()) {
            Ok(membership) => Some(membership),
            Err(error) => {
                // The reason is short enough, and it is closed either way.
                let _ = sender.close(1008, &error.to_string());
                None
            }
        };
        self.announce(&room, format!("{} joined", guest.name), id);
        drop(order);
        Seat { rooms: self.clone(), membership, id, name: guest.name.clone() }
    }

    /// Tells a room that somebody came or went; `except` knows already.
    fn announce(&self, room: &Room, text: String, except: u64) {
        if try_announce(room, &text, except).is_ok() {
            return;
        }
        // The hub is full. Outside of a runtime there is nobody left to tell.
        if let Ok(runtime) = Handle::try_current() {
            let (rooms, room) = (self.clone(), room.clone());
            runtime.spawn(async move { rooms.announce_later(&room, &text, except).await });
        }
    }

    async fn announce_later(&self, room: &Room, text: &str, except: u64) {
        loop {
            poll_fn(|cx| room.poll_ready(cx)).await;
            let announced = {
                let _order = self.lock();
                try_announce(room, text, except)
            };
            if announced.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn try_announce(room: &Room, text: &str, except: u64) -> Result<(), BroadcastError> {
    let people = room.len();
    room.broadcast_except(&*ServerMessage::People { people }.to_json(), except)?;
    room.broadcast_except(&*ServerMessage::Notice { text }.to_json(), except)
}

/// A member's place in a room. It is free, and the room is told, when this is dropped.
pub(crate) struct Seat {
    rooms: Rooms,
    /// Empty while it is dropped only.
    membership: Option<Membership>,
    id: u64,
    name: String,
}

impl Seat {
    /// Errors: the hub is full and the message went to nobody.
    pub(crate) fn say(&self, text: &str) -> Result<(), BroadcastError> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        let message = ServerMessage::Message { id: &self.id.to_string(), name: &self.name, text };
        let json = message.to_json();
        let _order = self.rooms.lock();
        membership.room().broadcast(&*json)
    }

    /// Pending while the hub has enough to do.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.membership {
            Some(membership) => membership.room().poll_ready(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(membership) = self.membership.take() else {
            return;
        };
        let room = membership.room().clone();
        let _order = self.rooms.lock();
        drop(membership);
        self.rooms.announce(&room, format!("{} left", self.name), self.id);
    }
}
