//! What keeps strangers out of rooms with a password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sockeye::auth::{AuthError, GuessLimiter, RoomPasswords, Secret};
use sockeye::hub::Room;

use super::protocol::Join;

/// The doors of all rooms. A room begins with its first member, who may close it with a password, and ends with its
/// last, and so does its door.
pub(crate) struct Doors {
    secret: Secret,
    guesses: GuessLimiter,
    /// Of a room that is not there.
    nobodys: Arc<Door>,
}

/// Of one room; `None`: it is open.
struct Door(Option<RoomPasswords>);

impl Doors {
    /// The secret keys the sums of the passwords, which are kept in their place.
    pub(crate) fn new(secret: Secret) -> Self {
        let nobodys = Arc::new(Door(Some(RoomPasswords::new(secret.clone()))));
        Self { secret, guesses: GuessLimiter::new(), nobodys }
    }

    /// A room with a password takes who knows it, an open one who brings none: nobody takes an open
    /// room for a private one. A room that is not there is refused as a wrong password is, so that
    /// nobody finds out by trying which rooms there are.
    pub(crate) fn check(
        &self,
        room: &Room,
        join: &Join,
        address: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        let attempt = address.map(|address| self.guesses.begin(address, Instant::now()));
        let attempt = attempt.transpose()?;
        let refused = (!self.opens(room, join)).then_some(AuthError::Refused);
        if let Some(attempt) = attempt {
            attempt.end(refused.as_ref());
        }
        refused.map_or(Ok(()), Err)
    }

    fn opens(&self, room: &Room, join: &Join) -> bool {
        let password = join.password.as_ref().map(|password| password.0.as_str());
        if password.is_none() || join.create {
            let door = password.map(|password| self.closed(room, password));
            // Of those who come at once the first decides; later ones find the door that is there.
            room.attach(Arc::new(Door(door)));
        }
        let Door(passwords) = &*room.attached().unwrap_or_else(|| self.nobodys.clone());
        match (passwords, password) {
            (None, None) => true,
            (Some(passwords), Some(password)) => passwords.check(room.name(), password),
            _ => false,
        }
    }

    fn closed(&self, room: &Room, password: &str) -> RoomPasswords {
        let passwords = RoomPasswords::new(self.secret.clone());
        // A name or a password that is none opens nothing, and the hub takes no such room.
        let _ = passwords.set(room.name(), password);
        passwords
    }
}

/// Whether it has a password.
pub(crate) fn is_private(room: &Room) -> bool {
    room.attached::<Door>().is_some_and(|door| door.0.is_some())
}
