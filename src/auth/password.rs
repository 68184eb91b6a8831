//! Passwords of rooms.

use std::collections::HashMap;
use std::fmt;

use crate::handshake::{ROOM_NAME_BYTES_MAX, check_room_name};
use crate::sync::Mutex;

use super::secret::SUM_BYTES;
use super::{AuthError, Authenticator, Credentials, Identity, Secret, SetupError};

/// The longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Rooms with passwords, unless it is set otherwise: as many as a server has rooms.
const ROOMS_MAX: usize = 65_536;

/// Stands before what is summed, so that no sum of a password is the signature of a token under the
/// same secret: a token begins with base64url, which has no space.
const LABEL: &[u8] = b"room password\0";

/// What holds for a room for which no password was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomsWithoutPassword {
    /// Nobody gets in, exactly as with a wrong password: nobody finds out which rooms there are.
    #[default]
    Refuse,
    /// Everybody gets in. Who tries names finds out which of them have a password.
    Open,
}

impl RoomsWithoutPassword {
    /// Whether a password is right, where this sum is known of its room. The work is done either way:
    /// how long it takes says nothing of which rooms there are.
    fn judge(
        self,
        known: Option<[u8; SUM_BYTES]>,
        is_sum: impl FnOnce(&[u8; SUM_BYTES]) -> bool,
    ) -> bool {
        let is_right = is_sum(&known.unwrap_or([0; SUM_BYTES]));
        match known {
            Some(_) => is_right,
            None => self == Self::Open,
        }
    }
}

/// The passwords of rooms, for a door that many share. Use it from any thread.
///
/// It keeps an HMAC of each under a secret, no password; they live in memory only. A password is
/// checked with the same work and the same answer whether the room is not known or the password is
/// wrong. For passwords of people take what is made for them (argon2, say) behind an
/// [`Authenticator`].
///
/// As an authenticator it lets guests in: see [`Identity::guest`].
///
/// ```
/// use sockeye::auth::{RoomPasswords, Secret};
///
/// let rooms = RoomPasswords::new(Secret::new([7; 32])?);
/// rooms.set("chat", "swordfish")?;
/// assert!(rooms.check("chat", "swordfish"));
/// assert!(!rooms.check("chat", "marlin") && !rooms.check("attic", "swordfish"));
/// # Ok::<(), sockeye::auth::SetupError>(())
/// ```
pub struct RoomPasswords {
    secret: Secret,
    sums: Mutex<HashMap<String, [u8; SUM_BYTES]>>,
    rooms_max: usize,
    without: RoomsWithoutPassword,
}

impl RoomPasswords {
    /// No passwords yet.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let without = RoomsWithoutPassword::default();
        Self { secret, sums: Mutex::default(), rooms_max: ROOMS_MAX, without }
    }

    /// How many rooms may have a password (default 65,536).
    #[must_use]
    pub fn rooms_max(mut self, rooms: usize) -> Self {
        self.rooms_max = rooms;
        self
    }

    /// What holds for rooms without a password (default: nobody gets in).
    #[must_use]
    pub fn without_password(mut self, without: RoomsWithoutPassword) -> Self {
        self.without = without;
        self
    }

    /// Sets the password of a room, in place of the one it had.
    ///
    /// # Errors
    /// For a name that is none, a password that is empty or longer than 1,024 bytes, and one room too
    /// many.
    pub fn set(&self, room: &str, password: &str) -> Result<(), SetupError> {
        check_room_name(room, ROOM_NAME_BYTES_MAX)?;
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Err(SetupError::PasswordLength { limit: PASSWORD_BYTES_MAX });
        }
        let sum = self.secret.sum(&parts(room, password, &framing(room)));
        let mut sums = self.sums.lock();
        if sums.len() >= self.rooms_max && !sums.contains_key(room) {
            return Err(SetupError::TooManyRooms { limit: self.rooms_max });
        }
        sums.insert(room.to_owned(), sum);
        Ok(())
    }

    /// Takes the password of a room away; says whether it had one. What holds then is
    /// [`RoomsWithoutPassword`].
    pub fn remove(&self, room: &str) -> bool {
        self.sums.lock().remove(room).is_some()
    }

    /// Whether a room has a password. It is for the application's own decisions: an answer that depends
    /// on it tells whoever asks which rooms there are.
    #[must_use]
    pub fn has_password(&self, room: &str) -> bool {
        self.sums.lock().contains_key(room)
    }

    /// Whether this password opens this room.
    ///
    /// Cost: one HMAC over both, whatever the answer.
    #[must_use]
    pub fn check(&self, room: &str, password: &str) -> bool {
        // How long they are is the caller's own knowledge.
        let is_named = check_room_name(room, ROOM_NAME_BYTES_MAX).is_ok();
        if !is_named || password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let known = self.sums.lock().get(room).copied();
        self.without
            .judge(known, |sum| self.secret.is_sum(&parts(room, password, &framing(room)), sum))
    }

    /// Whether these credentials open the room they name; without a room they open none.
    pub(super) fn admit(&self, credentials: &Credentials) -> Result<(), AuthError> {
        let room = credentials.room().unwrap_or_default();
        let password = credentials.room_password().unwrap_or_default();
        if self.check(room, password) { Ok(()) } else { Err(AuthError::Refused) }
    }
}

impl Authenticator for RoomPasswords {
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        self.admit(&credentials).map(|()| Identity::guest())
    }
}

impl fmt::Debug for RoomPasswords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RoomPasswords")
            .field("rooms", &self.sums.lock().len())
            .field("without_password", &self.without)
            .finish_non_exhaustive()
    }
}

/// The length in front says where the name ends and the password begins.
fn framing(room: &str) -> [u8; 8] {
    (room.len() as u64).to_be_bytes()
}

fn parts<'a>(room: &'a str, password: &'a str, framing: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [LABEL, framing, room.as_bytes(), password.as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rooms() -> RoomPasswords {
        RoomPasswords::new(Secret::new([7; 32]).unwrap())
    }

    /// A name and a password cannot be cut elsewhere to give the same sum.
    #[test]
    fn the_border_between_name_and_password_counts() {
        let rooms = rooms();
        rooms.set("ab", "cd").unwrap();
        let stored = *rooms.sums.lock().get("ab").unwrap();
        for (room, password) in [("a", "bcd"), ("abc", "d"), ("abcd", ""), ("ab", "cd\0")] {
            let sum = rooms.secret.sum(&parts(room, password, &framing(room)));
            assert_ne!(sum, stored, "{room} {password}");
        }
    }

    /// A06, row 58: one sum and one comparison, whether the room is known or not.
    #[test]
    fn the_work_is_the_same_for_unknown_rooms() {
        for without in [RoomsWithoutPassword::Refuse, RoomsWithoutPassword::Open] {
            for known in [None, Some([1; SUM_BYTES])] {
                let mut sums = 0;
                without.judge(known, |_| {
                    sums += 1;
                    false
                });
                assert_eq!(sums, 1, "{known:?}");
            }
        }
    }

    /// One secret for both: neither can be taken for the other.
    #[test]
    fn what_is_summed_is_never_a_token() {
        let label = std::str::from_utf8(LABEL).unwrap();
        assert!(label.contains(' '), "no base64url has a space");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(room: String, password: String, other: String) {
            let rooms = rooms();
            if rooms.set(&room, &password).is_ok() {
                prop_assert!(rooms.check(&room, &password));
                prop_assert_eq!(rooms.check(&room, &other), other == password);
            }
            rooms.remove(&room);
            prop_assert!(!rooms.check(&room, &password));
        }
    }
}
