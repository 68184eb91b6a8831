//! What keeps strangers out of rooms with a password.

use std::net::IpAddr;
use std::time::Instant;

use sockeye::auth::{AuthError, GuessLimiter, RoomPasswords, Secret, SetupError};

use super::guest::Guest;

pub(crate) struct Doors {
    passwords: RoomPasswords,
    guesses: GuessLimiter,
}

impl Doors {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { passwords: RoomPasswords::new(secret), guesses: GuessLimiter::new() }
    }

    /// A room with a password takes who knows it, an open one who brings none: nobody takes an open
    /// room for a private one. A room that is not there is refused as a wrong password is, so that
    /// nobody finds out by trying which rooms there are.
    pub(crate) fn check(
        &self,
        guest: &Guest,
        is_new: bool,
        address: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        let attempt = address.map(|address| self.guesses.begin(address, Instant::now()));
        let attempt = attempt.transpose()?;
        let is_in = match &guest.password {
            None => !self.passwords.has_password(&guest.room),
            Some(password) => {
                self.passwords.check(&guest.room, password) || (is_new && guest.may_create)
            }
        };
        let refused = (!is_in).then_some(AuthError::Refused);
        if let Some(attempt) = attempt {
            attempt.end(refused.as_ref());
        }
        refused.map_or(Ok(()), Err)
    }

    /// The first member's password is the room's.
    pub(crate) fn close(&self, guest: &Guest) -> Result<(), SetupError> {
        match &guest.password {
            Some(password) => self.passwords.set(&guest.room, password),
            None => Ok(()),
        }
    }

    /// The room has ended, and its password with it.
    pub(crate) fn open(&self, room: &str) {
        self.passwords.remove(room);
    }
}
