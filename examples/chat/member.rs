//! One connection in its room.

use std::task::{Context, Poll};

use sockeye::hub::Registration;
use sockeye::{CloseOutcome, Connection, Handler, MessageRef, Request};

use super::guest::Guest;
use super::panel::{Panel, Watch};
use super::protocol::ClientMessage;
use super::rooms::{Refusal, Rooms, Seat};

/// Joins a room, says there what its client says, and closes on whatever is not understood.
pub(crate) struct Member {
    rooms: Rooms,
    panel: Panel,
    request: Request,
    /// The hub counts the connection while this is here.
    registration: Registration,
    /// Empty before it joins and when it is sent away.
    seat: Option<Seat>,
    /// While its client looks at the metrics.
    watch: Option<Watch>,
}

impl Member {
    pub(crate) fn new(
        rooms: Rooms,
        panel: Panel,
        registration: Registration,
        request: Request,
    ) -> Self {
        Self { rooms, panel, request, registration, seat: None, watch: None }
    }

    fn enter(&self, connection: &Connection<'_>) -> Result<Seat, Refusal> {
        let guest = Guest::from_request(&self.request)?;
        self.rooms.enter(&guest, &connection.sender(), self.registration.address())
    }

    /// The seat is free at once, however long the client takes to answer.
    fn send_away(&mut self, connection: &mut Connection<'_>, refusal: &Refusal) {
        self.seat = None;
        self.watch = None;
        // Our codes may be sent and our reasons are short.
        let _ = connection.close(refusal.code, &refusal.reason);
    }
}

impl Handler for Member {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        match self.enter(connection) {
            Ok(seat) => self.seat = Some(seat),
            Err(refusal) => self.send_away(connection, &refusal),
        }
    }

    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        let Some(seat) = &self.seat else {
            return;
        };
        match ClientMessage::parse(message) {
            Ok(ClientMessage::Message { text }) => {
                if seat.say(&text).is_err() {
                    // poll_ready came too late. The client learns that this message is lost.
                    self.send_away(connection, &Refusal::new(1013, "the chat is too busy"));
                }
            }
            Ok(ClientMessage::Watch { on }) => {
                // The old one goes first: both are under the connection's number.
                self.watch = None;
                self.watch = on.then(|| self.panel.watch(connection.sender()));
            }
            Err(why) => self.send_away(connection, &why.into()),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.seat {
            Some(seat) => seat.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }

    fn on_close(&mut self, outcome: &CloseOutcome) {
        self.registration.ended_with(outcome.code);
    }
}
