//! One connection in its room.

use std::task::{Context, Poll};

use sockeye::{Connection, Handler, MessageRef, Request};

use super::guest::Guest;
use super::protocol::parse_text;
use super::rooms::{Rooms, Seat};

/// Joins a room, says there what its client says, and closes on whatever is not understood.
pub(crate) struct Member {
    rooms: Rooms,
    request: Request,
    /// Empty before it joins and when it is sent away.
    seat: Option<Seat>,
}

impl Member {
    pub(crate) fn new(rooms: Rooms, request: Request) -> Self {
        Self { rooms, request, seat: None }
    }

    /// The seat is free at once, however long the client takes to answer.
    fn send_away(&mut self, connection: &mut Connection<'_>, code: u16, reason: &str) {
        self.seat = None;
        // Our codes may be sent and our reasons are short.
        let _ = connection.close(code, reason);
    }
}

impl Handler for Member {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        match Guest::from_request(&self.request) {
            Ok(guest) => self.seat = Some(self.rooms.enter(&guest, &connection.sender())),
            Err(why) => self.send_away(connection, 1008, why.trim_end()),
        }
    }

    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        let Some(seat) = &self.seat else {
            return;
        };
        match parse_text(message) {
            Ok(text) if seat.say(&text).is_ok() => {}
            // poll_ready came too late. The client learns that this message is lost.
            Ok(_) => self.send_away(connection, 1013, "the chat is too busy"),
            Err(why) => self.send_away(connection, 1008, why),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.seat {
            Some(seat) => seat.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }
}
