//! What somebody presents.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use http::{HeaderMap, Uri};

/// What somebody presents to get in, and when. It owns what it holds, so that it may go into any
/// future.
///
/// [`CredentialSources`](super::CredentialSources) reads it off a request. Its `Debug` shows what is
/// there, and nothing of it.
#[derive(Clone)]
pub struct Credentials {
    token: Option<String>,
    room: Option<String>,
    room_password: Option<String>,
    headers: HeaderMap,
    uri: Uri,
    peer_ip: Option<IpAddr>,
    now: SystemTime,
}

impl Credentials {
    /// No credentials, at this time of the wall clock.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self {
            token: None,
            room: None,
            room_password: None,
            headers: HeaderMap::new(),
            uri: Uri::default(),
            peer_ip: None,
            now,
        }
    }

    /// With a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// With the room that is asked for.
    #[must_use]
    pub fn with_room(mut self, room: impl Into<String>) -> Self {
        self.room = Some(room.into());
        self
    }

    /// With the room's password.
    #[must_use]
    pub fn with_room_password(mut self, password: impl Into<String>) -> Self {
        self.room_password = Some(password.into());
        self
    }

    /// With the headers and target of a request.
    #[must_use]
    pub fn with_head<B>(mut self, request: &http::Request<B>) -> Self {
        self.headers = request.headers().clone();
        self.uri = request.uri().clone();
        self
    }

    /// With where it comes from.
    #[must_use]
    pub fn with_peer_ip(mut self, peer_ip: IpAddr) -> Self {
        self.peer_ip = Some(peer_ip);
        self
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The room that is asked for.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    /// The room's password.
    #[must_use]
    pub fn room_password(&self) -> Option<&str> {
        self.room_password.as_deref()
    }

    /// All headers of the request: cookies, say.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The target of the request.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Where it comes from, where that is known.
    #[must_use]
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.peer_ip
    }

    /// When it was presented.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.now
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("has_token", &self.token.is_some())
            .field("has_room", &self.room.is_some())
            .field("has_room_password", &self.room_password.is_some())
            .finish_non_exhaustive()
    }
}
