//! Sessions that end with their connection: what the app builds on until there are others.
#![allow(dead_code)]

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::outbox::{SendError, Sender, Sent};
use crate::protocol::Message;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// Limits of sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// How long a session outlives its connection.
    pub suspended_for: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { suspended_for: Duration::from_secs(120) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(String);

impl SessionId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) struct Opening<'a> {
    pub(crate) id: &'a SessionId,
    pub(crate) token: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) expires_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SessionError {
    #[error("too many sessions")]
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ResumeError {
    #[error("unknown session")]
    Unknown,
    #[error("expired")]
    Expired,
    #[error("history lost")]
    HistoryLost,
    #[error("ahead")]
    Ahead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("acknowledged more than was sent")]
pub(crate) struct AckError;

#[derive(Clone)]
pub(crate) struct Sessions {
    config: SessionConfig,
    over: Arc<Mutex<Vec<Session>>>,
}

#[derive(Clone)]
pub(crate) struct Session(Arc<State>);

struct State {
    id: SessionId,
    user: Option<String>,
    sender: Sender,
    received: AtomicU64,
    attached: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

impl Sessions {
    pub(crate) fn new(config: SessionConfig) -> Self {
        Self { config, over: Arc::default() }
    }

    pub(crate) fn create(
        &self,
        connection: &Sender,
        user: Option<&str>,
        first: impl FnOnce(&Opening<'_>) -> Message,
    ) -> Result<Session, SessionError> {
        let id = SessionId(format!("{:022}", connection.id()));
        let opening = Opening {
            id: &id,
            token: "none",
            user,
            sent: 0,
            received: 0,
            expires_after: self.config.suspended_for,
        };
        let _ = connection.try_send(first(&opening));
        Ok(Session(Arc::new(State {
            id,
            user: user.map(str::to_owned),
            sender: connection.clone(),
            received: AtomicU64::new(0),
            attached: Mutex::default(),
        })))
    }

    pub(crate) fn resume(
        &self,
        _: &Sender,
        _: &str,
        _: &str,
        _: Option<&str>,
        _: u64,
        _: impl FnOnce(&Opening<'_>) -> Message,
    ) -> Result<Session, ResumeError> {
        Err(ResumeError::Unknown)
    }

    pub(crate) fn suspend(&self, session: &Session, _: u64) -> bool {
        self.over.lock().push(session.clone());
        true
    }

    pub(crate) fn end(&self, session: &Session, code: u16, reason: &str) {
        let mut over = self.over.lock();
        let before = over.len();
        over.retain(|known| !Arc::ptr_eq(&known.0, &session.0));
        if over.len() == before {
            let _ = session.0.sender.close(code, reason);
        }
    }

    pub(crate) fn sweep(&self) -> Vec<Session> {
        std::mem::take(&mut *self.over.lock())
    }

    pub(crate) fn get(&self, _: &str) -> Option<Session> {
        None
    }
}

impl Session {
    pub(crate) fn id(&self) -> &SessionId {
        &self.0.id
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.0.user.as_deref()
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.0.sender
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.0.sender.is_closed()
    }

    pub(crate) fn acknowledge(&self, _: u64) -> Result<(), AckError> {
        Ok(())
    }

    pub(crate) fn count_received(&self, _: u64) -> bool {
        self.0.received.fetch_add(1, Ordering::Relaxed);
        true
    }

    pub(crate) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    pub(crate) fn send_uncounted(&self, message: Message) -> Result<Sent, SendError> {
        self.0.sender.try_send(message)
    }

    pub(crate) fn attach(&self, value: impl Any + Send + Sync) -> bool {
        self.0.attached.lock().replace(Arc::new(value)).is_none()
    }

    pub(crate) fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.attached.lock().clone()?.downcast().ok()
    }
}
