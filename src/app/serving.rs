//! What becomes of a connection that was let in.

use std::future::pending;
use std::time::Duration;

use tokio::time::timeout;

use crate::auth::Identity;
use crate::hub::Ticket;
use crate::net::{NetStream, Request, WebSocket};
use crate::protocol::Message;
use crate::session::ResumeError;
use crate::sync::Arc;

use super::connection::LinkHandler;
use super::entrance::Admitted;
use super::entry::{Entering, NoEntry};
use super::event::system::{self, Reconnect};
use super::routes::{EventRoute, Kind, OnSocket};
use super::shared::Shared;
use super::visitor::Visitor;

/// How long a client that says it comes back has to say to what.
const RESUME_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs one connection.
pub(super) async fn serve(app: Arc<Shared>, socket: WebSocket<NetStream>, request: Request) {
    let Some(admitted) = request.take_pass::<Admitted>() else {
        // The entrance lets nobody in without.
        return;
    };
    let Admitted { entry, identity, params, ticket } = admitted;
    request.trace().user(identity.as_ref().and_then(Identity::id));
    let visitor = Visitor::new(request, identity, params);
    match &entry.kind {
        Kind::Raw(on_socket) => raw(&app, socket, visitor, ticket, on_socket).await,
        Kind::Events(route) => events(&app, socket, visitor, ticket, route).await,
    }
}

async fn raw(
    app: &Arc<Shared>,
    mut socket: WebSocket<NetStream>,
    visitor: Visitor,
    ticket: Ticket,
    on_socket: &Arc<OnSocket>,
) {
    match app.hub.register_ticket(&socket.sender(), ticket) {
        Ok(registration) => on_socket(socket, visitor, registration.peer().clone()).await,
        Err(error) => {
            // It ends either way.
            let _ = socket.close(error.close_code().into(), &error.to_string()).await;
        }
    }
}

async fn events(
    app: &Arc<Shared>,
    mut socket: WebSocket<NetStream>,
    visitor: Visitor,
    ticket: Ticket,
    route: &Arc<EventRoute>,
) {
    let connection = socket.sender();
    let (held, profile) = ticket.split();
    let entering =
        Entering { app, route, visitor: &visitor, connection: &connection, instead_of: None };
    let entered = if visitor.request().query("resume").as_deref() == Some("1") {
        let Ok(first) = timeout(RESUME_TIMEOUT, socket.recv()).await else {
            // 4408 may be sent.
            let _ = socket.close(4408, "nothing came in time").await;
            return;
        };
        let Ok(Some(first)) = first else { return };
        let text = first.as_text().unwrap_or_default();
        match route.codec.parse(text) {
            Ok(asked) if asked.name() == system::RECONNECT => {
                let request = asked.payload::<Reconnect>().ok();
                let mut early = None;
                let gone = gone(&mut socket, &mut early);
                let brought = entering.bring(request.as_ref(), &profile, gone).await;
                if brought == Err(ResumeError::Closed) {
                    return;
                }
                let entered = entering.resume(request.as_ref(), brought, profile);
                entered.map(|link| with_first(link, held, early.as_ref()))
            }
            // It is a message as any other.
            _ => entering.begin(profile).map(|link| with_first(link, held, Some(&first))),
        }
    } else {
        let first = Some(profile.clone());
        entering.begin(profile).map(|link| LinkHandler::new(link, held, first))
    };
    match entered {
        Ok(handler) => drop(socket.run(handler).await),
        Err(NoEntry { code, reason }) => {
            // It ends either way.
            let _ = socket.close(code, &reason).await;
        }
    }
}

/// Until the client is gone. It has nothing to say before it is answered; what it says all the same comes afterwards.
async fn gone(socket: &mut WebSocket<NetStream>, early: &mut Option<Message>) {
    while let Ok(Some(message)) = socket.recv().await {
        if message.as_data().is_some() {
            *early = Some(message);
            return pending().await;
        }
    }
}

fn with_first(
    link: Arc<super::link::Link>,
    held: crate::hub::Held,
    first: Option<&Message>,
) -> LinkHandler {
    let mut handler = LinkHandler::new(link, held, None);
    first.into_iter().for_each(|first| handler.take(first));
    handler
}
