//! What is on the port beside WebSockets: pages, health, metrics.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::handshake::Acceptance;
use crate::hub::Hub;
use crate::hub::metrics::CONTENT_TYPE;
use crate::net::{Answer, Request};
use crate::sync::Arc;

use super::routes::Routes;

/// What the browser client offers beside its token.
const SUBPROTOCOL: &str = "sockeye.v1";

/// What pages are sent with, unless it is set otherwise: nothing runs, loads or connects but what is from here.
const HEADERS: [(http::HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    // A page and its script of different versions do not fit.
    (CACHE_CONTROL, "no-cache"),
];

type MayScrape = dyn Fn(&Request) -> bool + Send + Sync;

/// What a path shows.
#[derive(Clone)]
pub(super) enum Page {
    Static { content_type: &'static str, body: Bytes },
    Health,
    Metrics(Arc<MayScrape>),
}

/// The headers of pages that say nothing else.
pub(super) fn page_headers() -> HeaderMap {
    HEADERS.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

pub(super) struct Site {
    pub(super) hub: Hub,
    pub(super) routes: Arc<Routes>,
    pub(super) pages: HashMap<String, Page>,
    /// Of the pages.
    pub(super) headers: HeaderMap,
    pub(super) subprotocol: Option<&'static str>,
}

impl Site {
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if request.is_upgrade() {
            // Whoever is here was let in.
            return Answer::Upgrade(self.acceptance(request));
        }
        let Some(page) = self.pages.get(request.path()) else {
            return match self.routes.find(request.path()) {
                // 426: there is a WebSocket.
                Ok(_) => Answer::accept(),
                Err(lost) => lost.answer(),
            };
        };
        match page {
            Page::Static { content_type, body } => {
                let answer = Answer::respond(StatusCode::OK, content_type, body.clone());
                let headers = self.headers.iter();
                headers.fold(answer, |answer, (name, value)| {
                    answer.header(name.clone(), value.clone())
                })
            }
            Page::Health => Answer::respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
            Page::Metrics(may_scrape) if may_scrape(request) => {
                Answer::respond(StatusCode::OK, CONTENT_TYPE, self.hub.prometheus())
            }
            Page::Metrics(_) => Answer::refuse(StatusCode::FORBIDDEN, "not allowed\n"),
        }
    }

    /// A browser that offers subprotocols wants to hear one of them.
    fn acceptance(&self, request: &Request) -> Acceptance {
        let is_offered = |name: &&str| request.subprotocols().iter().any(|offer| offer == name);
        let own = self.subprotocol.into_iter().chain([SUBPROTOCOL]);
        match { own }.find(is_offered) {
            Some(name) => Acceptance::default().subprotocol(name),
            None => Acceptance::default(),
        }
    }
}
