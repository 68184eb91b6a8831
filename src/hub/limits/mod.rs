//! What a server allows: places, rates, and names of rooms. Pure: no I/O, and no clock of its own,
//! the time is an argument in milliseconds.
//!
//! ```text
//!  Limits         what is allowed, as numbers
//!  Places         so many at a time: in all and for each address, user or room
//!  TokenBucket    so many in a time, for one connection
//!  AddressRates   the same for each address, in a table that cannot grow without end
//!  AddressKey     what counts as one address
//! ```
//!
//! Who is refused, and what is answered, is decided where connections are taken in.

mod address_rates;
mod config;
mod places;
mod table;

pub use crate::handshake::{AddressKey, ROOM_NAME_BYTES_MAX, RoomNameError, check_room_name};
pub use crate::protocol::{Rate, RetryAfter, TokenBucket};
pub use address_rates::AddressRates;
pub use config::{Limits, LimitsError};
pub use places::{Place, Places, PlacesFull};
