//! The rooms: who comes, who goes, and what is said.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use sockeye::Sender;
use sockeye::auth::{AuthError, Secret, SetupError};
use sockeye::hub::{BroadcastError, Hub, JoinError, Membership, Room};
use tokio::runtime::Handle;

use super::doors::Doors;
use super::guest::Guest;
use super::protocol::ServerMessage;

/// All rooms of the chat. Cloning counts a reference.
///
/// A room begins with its first member, who may close it with a password, and ends with its last.
///
/// Whatever changes a room or is said in it happens in one order, whichever threads the members are
/// on: counts never go back in time, and a member misses nothing that is said after its `joined`.
#[derive(Clone)]
pub(crate) struct Rooms {
    hub: Hub,
    doors: Arc<Doors>,
    order: Arc<Mutex<()>>,
}

impl Rooms {
    /// The secret keys the sums of the passwords, which are kept in their place.
    pub(crate) fn new(hub: Hub, secret: Secret) -> Self {
        Self { hub, doors: Arc::new(Doors::new(secret)), order: Arc::default() }
    }

    pub(crate) fn enter(
        &self,
        guest: &Guest,
        sender: &Sender,
        address: Option<IpAddr>,
    ) -> Result<Seat, Refusal> {
        let room = self.hub.room(&guest.room);
        let _order = self.lock();
        let is_new = room.is_empty();
        self.doors.check(guest, is_new, address)?;
        let membership = room.join(sender.clone())?;
        if is_new {
            self.doors.close(guest)?;
        }
        let id = sender.id();
        let joined = ServerMessage::Joined {
            id: &id.to_string(),
            room: &guest.room,
            name: &guest.name,
            people: room.len(),
            is_private: guest.password.is_some(),
        };
        // Nobody says anything before the order is let go. A connection that is closed already leaves
        // at once.
        let _ = sender.try_send(joined.to_json());
        self.announce(&room, format!("{} joined", guest.name), id);
        let name = guest.name.clone();
        Ok(Seat { rooms: self.clone(), membership: Some(membership), id, name })
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

/// Why a member has to go, as its close frame says it.
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.trim_end().to_owned() }
    }
}

/// The client has said what is no part of the chat.
impl From<&'static str> for Refusal {
    fn from(reason: &'static str) -> Self {
        Self::new(1008, reason)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let reason = match error {
            AuthError::Refused => "no room of this name with this password",
            _ => "too many wrong passwords: wait a minute",
        };
        Self::new(error.close_code().as_u16(), reason)
    }
}

/// The room is full: later there may be a place.
impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        Self::new(1013, &error.to_string())
    }
}

/// As many rooms have passwords as may have.
impl From<SetupError> for Refusal {
    fn from(error: SetupError) -> Self {
        Self::new(1013, &error.to_string())
    }
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
        if room.is_empty() {
            self.rooms.doors.open(room.name());
        }
        self.rooms.announce(&room, format!("{} left", self.name), self.id);
    }
}
