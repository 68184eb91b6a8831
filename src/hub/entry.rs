//! The ways in for a floor above, whose registrations outlive connections.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::Error;
use crate::net::Request;
use crate::outbox::Sender;

use super::doors::Taken;
use super::error::RegisterError;
use super::hub::{Hub, Registration};
use super::peer::Profile;
use super::registry::Place;
use super::serve::Ticket;
use super::shutdown::Shutdown;

/// The places of a connection, which it has as long as it lasts, whatever becomes of its session.
#[derive(Debug)]
pub(crate) struct Held {
    _place: Option<Place>,
    _taken: Taken,
}

impl Ticket {
    /// Its places, and what is known of the client.
    pub(crate) fn split(self) -> (Held, Profile) {
        (Held { _place: self.place, _taken: self.taken }, self.profile)
    }

    /// Where the client is.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.profile.address
    }
}

impl Shutdown {
    /// How long it may take.
    pub(crate) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The same, until then.
    pub(crate) const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Hub {
    /// Takes a place for a request.
    pub(crate) fn ticket(&self, request: &Request) -> Result<Ticket, RegisterError> {
        Ticket::of(self.shared(), request)
    }

    /// Takes in what outlives its connections: it takes no connection's place.
    pub(crate) fn register_placeless(
        &self,
        sender: &Sender,
        profile: Profile,
    ) -> Result<Registration, RegisterError> {
        self.register_in(sender, profile, None, Taken::default())
    }

    /// Takes in a connection with what it was let in with.
    pub(crate) fn register_ticket(
        &self,
        sender: &Sender,
        ticket: Ticket,
    ) -> Result<Registration, RegisterError> {
        self.register_in(sender, ticket.profile, ticket.place, ticket.taken)
    }

    /// Counts a handshake that came to nothing.
    pub(crate) fn note_refused(&self, error: &Error) {
        self.shared().count_refused(error);
    }
}
