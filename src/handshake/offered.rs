//! What a client asked for, to hold the answer against.

use http::header::{HOST, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Response, StatusCode};

use crate::deflate::{Deflate, DeflateParams};

use super::client::Offer;
use super::error::RefusedResponse;
use super::extensions::{self, are_offered};
use super::headers::{is_owned, only};
use super::tokens::is_token;
use super::{Extension, HandshakeError, Negotiated};

/// What of an [`Offer`] the answer may choose from.
pub(super) struct Offered {
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
    deflate: Deflate,
}

/// Whether an offer may be sent. Its compression becomes the extensions it is offered as.
pub(super) fn check(offer: &mut Offer) -> Result<(), HandshakeError> {
    let mut headers = offer.headers.keys();
    if let Some(owned) = headers.find(|name| is_owned(name) || *name == HOST) {
        return Err(HandshakeError::HeaderOwned(owned.clone()));
    }
    if !are_different_tokens(&offer.subprotocols) {
        return Err(HandshakeError::OfferedSubprotocol);
    }
    for params in DeflateParams::offers(&offer.deflate) {
        let name = DeflateParams::NAME.to_owned();
        offer.extensions.push(Extension { name, params });
    }
    Ok(())
}

impl Offered {
    pub(super) fn of(offer: Offer) -> Self {
        let Offer { subprotocols, extensions, deflate, .. } = offer;
        Self { subprotocols, extensions, deflate }
    }

    /// What a response that says yes chose of it.
    pub(super) fn agree(&self, response: &Response<()>) -> Result<Negotiated, HandshakeError> {
        let headers = response.headers();
        let extensions = extensions::from_headers(headers)?;
        if !are_offered(&extensions, &self.extensions) {
            return Err(HandshakeError::ExtensionNotOffered);
        }
        let subprotocol = self.chosen_subprotocol(headers)?;
        let deflate = self.agreed_deflate(&extensions)?;
        Ok(Negotiated::new(response.clone(), subprotocol, extensions).with_deflate(deflate))
    }

    fn agreed_deflate(
        &self,
        chosen: &[Extension],
    ) -> Result<Option<DeflateParams>, HandshakeError> {
        let answer = chosen.iter().find(|extension| extension.name == DeflateParams::NAME);
        let Some(answer) = answer.filter(|_| self.deflate.is_enabled()) else {
            return Ok(None);
        };
        Ok(Some(DeflateParams::accept(&self.deflate, &answer.params)?))
    }

    fn chosen_subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, HandshakeError> {
        if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Ok(None);
        }
        let chosen = only(headers, SEC_WEBSOCKET_PROTOCOL);
        let offer = self
            .subprotocols
            .iter()
            .find(|offer| chosen.is_some_and(|chosen| chosen == offer.as_str()));
        offer.cloned().map(Some).ok_or(HandshakeError::SubprotocolNotOffered)
    }
}

/// A response that says no, where another status would have said yes.
pub(super) fn refused(response: &Response<()>, yes: StatusCode) -> HandshakeError {
    let refused = RefusedResponse::new(response.status(), response.headers().clone(), yes);
    let is_redirect = response.status().is_redirection() && refused.location().is_some();
    let error =
        if is_redirect { HandshakeError::Redirect } else { HandshakeError::UnexpectedStatus };
    error(Box::new(refused))
}

fn are_different_tokens(names: &[String]) -> bool {
    let is_new = |(index, name): (usize, &String)| !names[..index].contains(name);
    names.iter().all(|name| is_token(name.as_bytes())) && names.iter().enumerate().all(is_new)
}
