//! From a URL to a session.

use crate::app::event::EventRef;
use crate::app::event::system::{self, Created, Restored};
use crate::error::Error;
use crate::protocol::Message;

use super::happening::Happening;
use super::keeper::Keeper;
use super::ledger::Broken;
use super::line::Line;

/// Why a connection came to no session.
pub(super) enum Unopened {
    /// There was no connection.
    Refused(Error),
    /// It was lost before.
    Lost(Error),
    /// The server does not keep to the protocol.
    Broken(Line),
}

impl Keeper {
    /// Connects, and takes the session up or begins a new one. The caller limits the time.
    ///
    /// Cancel safety: dropping the future drops the connection; the session there is waits for the next.
    pub(super) async fn open(&mut self) -> Result<Line, Unopened> {
        let reconnect = self.shared.reconnect();
        self.is_doubtful = false;
        let url = self.servers.url(reconnect.is_some());
        let connected = match &self.token {
            Some(token) => token.fill(&self.connector).await?.connect(url).await,
            None => self.connector.connect(url).await,
        };
        let socket = connected.map_err(Unopened::Refused)?;
        let (sender, receiver) = socket.split();
        let mut line = Line { sender, receiver };
        let mut is_resuming = reconnect.is_some();
        if let Some(reconnect) = reconnect {
            self.is_doubtful = std::mem::replace(&mut self.is_awaited, true);
            // If it is lost, so is the connection.
            let _ = line.sender.send(reconnect).await;
        }
        loop {
            let message = line.message().await.map_err(Unopened::Lost)?;
            match self.step(&message, &mut is_resuming) {
                Ok(true) => return Ok(line),
                Ok(false) => {}
                Err(Broken) => return Err(Unopened::Broken(line)),
            }
        }
    }

    /// True: the session is open.
    fn step(&mut self, message: &Message, is_resuming: &mut bool) -> Result<bool, Broken> {
        // Pings are the connection's own.
        if message.as_data().is_none() {
            return Ok(false);
        }
        let shared = self.shared.clone();
        let event = shared.parse(message).ok_or(Broken);
        let name = event.as_ref().map(EventRef::name);
        match (name, *is_resuming) {
            (Ok(system::RESTORED), true) => {
                self.is_awaited = false;
                let restored: Restored = event?.payload().map_err(|_| Broken)?;
                if !restored.restored {
                    *is_resuming = false;
                    self.told.extend(shared.lose(restored.reason.as_deref().unwrap_or("unknown")));
                    return Ok(false);
                }
                let has_gap = restored.gap;
                shared.go_on(restored.session.ok_or(Broken)?)?;
                self.told.push_back(match has_gap {
                    true => Happening::stored_gap(),
                    false => Happening::Restored,
                });
                Ok(true)
            }
            // Of a session that is given up for ours: the server did not see that we come back.
            (_, true) => Ok(false),
            (Ok(system::CREATED), false) => {
                shared.begin(event?.payload::<Created>().map_err(|_| Broken)?);
                if let Some(first) = &self.first {
                    first.fill(&shared);
                }
                Ok(true)
            }
            _ => Err(Broken),
        }
    }
}
