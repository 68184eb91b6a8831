//! Who comes in by which route.

use std::pin::Pin;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::auth::{AuthError, Identity};
use crate::error::Error;
use crate::hub::{Asking, Hub, Ticket, refusal};
use crate::net::{Admission, Answer, Pass, Request};
use crate::sync::Arc;

use super::routes::{Entry, Found, Lost, Routes};
use super::visitor::Visitor;

/// Lets in who has a route, a place in the hub, a name where one is asked for, and the guards' leave.
pub(super) struct Entrance {
    pub(super) hub: Hub,
    pub(super) routes: Arc<Routes>,
    pub(super) asking: Option<Asking>,
    pub(super) requires_auth: bool,
}

/// What a connection was let in with. Not the visitor, who holds the request that holds this.
pub(super) struct Admitted {
    pub(super) entry: Arc<Entry>,
    pub(super) identity: Option<Identity>,
    pub(super) params: Vec<(String, String)>,
    pub(super) ticket: Ticket,
}

impl Entrance {
    async fn let_in(&self, request: &Request) -> Result<Admitted, Response<Bytes>> {
        let Found { entry, params } = self.routes.find(request.path()).map_err(Lost::response)?;
        let ticket = self.hub.ticket(request).map_err(|error| refusal(&error))?;
        let (ticket, identity) = self.ask(request, ticket).await?;
        let visitor = Visitor::new(request.clone(), identity, params);
        for guard in &entry.guards {
            guard(&visitor).map_err(|error| self.hub.turn_away(&error))?;
        }
        let (identity, params) = visitor.into_parts();
        Ok(Admitted { entry, identity, params, ticket })
    }

    /// Who it is: a wrong token is refused, a missing one where nobody may come without.
    async fn ask(
        &self,
        request: &Request,
        ticket: Ticket,
    ) -> Result<(Ticket, Option<Identity>), Response<Bytes>> {
        let found = match &self.asking {
            Some(asking) => asking.identity(request, ticket.address()).await,
            None => Err(AuthError::Missing),
        };
        match found {
            Ok((identity, room)) => {
                let ticket = ticket.of_user(&self.hub, identity.clone(), room.as_deref());
                Ok((ticket.map_err(|error| refusal(&error))?, Some(identity)))
            }
            Err(AuthError::Missing) if !self.requires_auth => Ok((ticket, None)),
            Err(error) => Err(self.hub.turn_away(&error)),
        }
    }
}

impl Admission for Entrance {
    fn admit<'a>(
        &'a self,
        request: &'a Request,
    ) -> Pin<Box<dyn Future<Output = Result<Pass, Response<Bytes>>> + Send + 'a>> {
        Box::pin(async move { self.let_in(request).await.map(Pass::new) })
    }

    fn refused(&self, error: &Error) {
        self.hub.note_refused(error);
    }
}

impl Lost {
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Unknown => Answer::refuse(StatusCode::NOT_FOUND, "not found\n"),
            Self::Undecodable => Answer::refuse(StatusCode::BAD_REQUEST, "bad path\n"),
        }
    }

    fn response(self) -> Response<Bytes> {
        match self.answer() {
            Answer::Respond(response) => response,
            // It is a refusal, above.
            Answer::Upgrade(_) => Response::default(),
        }
    }
}
