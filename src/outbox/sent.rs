//! What became of a message that was taken.

/// What became of a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// The kernel has all of it.
    Written,
    /// It waits, whole or in part.
    Queued,
    /// It waits in the place of the message of its key, which will not be sent.
    Replaced,
    /// It waits, and so many that waited before were dropped for it
    /// ([`DropOldest`](crate::protocol::Overflow::DropOldest)).
    Displaced {
        /// How many.
        messages: usize,
    },
    /// The connection has ended, and the session keeps it for the next.
    Kept,
    /// Some messages of a run were taken.
    Partly {
        /// How many of it were not.
        refused: usize,
        /// How many of those that waited before, or of the run itself, were dropped for others of it.
        displaced: usize,
    },
}

impl Sent {
    /// What waits now, where so many were dropped for it.
    pub(super) const fn queued(displaced: usize) -> Self {
        match displaced {
            0 => Self::Queued,
            messages => Self::Displaced { messages },
        }
    }
}
