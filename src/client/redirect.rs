//! Redirects (RFC 9110 15.4).

use http::HeaderName;
use http::header::{ORIGIN, USER_AGENT};

use crate::error::{Error, RedirectError};
use crate::handshake::{Offer, RefusedResponse, is_credential};

use super::target::{Place, Target};

/// The redirects of one connection so far.
pub(super) struct Redirects {
    max: u8,
    /// What was asked, `seen.len() <= max`.
    seen: Vec<(Place, String)>,
}

impl Redirects {
    pub(super) const fn new(max: u8) -> Self {
        Self { max, seen: Vec::new() }
    }

    /// Where it goes on after `from`. What the new server may not know leaves the offer.
    pub(super) fn follow(
        &mut self,
        from: &Target,
        offer: &mut Offer,
        refused: &RefusedResponse,
    ) -> Result<Target, Error> {
        if self.seen.len() >= usize::from(self.max) {
            return Err(RedirectError::TooMany { max: self.max }.into());
        }
        let next = refused.location().and_then(|location| from.join(location));
        let mut next = next.ok_or(RedirectError::Location)?;
        if from.is_secure() && !next.is_secure() {
            return Err(RedirectError::Downgrade.into());
        }
        let of = |target: &Target| (target.place.clone(), target.request().to_owned());
        self.seen.push(of(from));
        if self.seen.contains(&of(&next)) {
            // From ws to wss the port differs, or the place is the same and the scheme is not.
            let is_upgrade = next.is_secure() && !from.is_secure();
            if !is_upgrade {
                return Err(RedirectError::Loop.into());
            }
        }
        if from.is_same_origin(&next) {
            next.authorization.clone_from(&from.authorization);
        } else {
            strip(offer);
        }
        Ok(next)
    }
}

fn strip(offer: &mut Offer) {
    let secrets: Vec<HeaderName> =
        offer.headers.keys().filter(|name| !is_harmless(name)).cloned().collect();
    for name in secrets {
        offer.headers.remove(name);
    }
    offer.subprotocols.retain(|subprotocol| !is_credential(subprotocol));
}

fn is_harmless(name: &HeaderName) -> bool {
    *name == ORIGIN || *name == USER_AGENT || name.as_str().starts_with("accept")
}
