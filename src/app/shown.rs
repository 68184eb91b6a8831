//! Which of this crate's own errors a client is shown when a handler ends with one, and as what.

use std::error::Error;

use crate::auth::AuthError;
use crate::hub::{BroadcastError, JoinError, MetadataError};
use crate::outbox::SendError;

use super::error::{EventSendError, RequestError};
use super::event::EventError;

/// What a client is shown of a handler's error that is no [`EventError`]. `None`: it is nobody's business.
///
/// An error around one of these is another error, and whoever wraps it has decided that.
pub(super) fn shown(error: &(dyn Error + Send + Sync + 'static)) -> Option<EventError> {
    if let Some(error) = error.downcast_ref::<EventSendError>() {
        return of_send(error);
    }
    if let Some(error) = error.downcast_ref::<RequestError>() {
        return of_request(error);
    }
    copied::<JoinError>(error)
        .or_else(|| copied::<MetadataError>(error))
        .or_else(|| copied::<AuthError>(error))
        .or_else(|| copied::<BroadcastError>(error))
        .or_else(|| copied::<SendError>(error))
}

fn copied<E: Error + Clone + Into<EventError> + 'static>(
    error: &(dyn Error + Send + Sync + 'static),
) -> Option<EventError> {
    error.downcast_ref::<E>().cloned().map(Into::into)
}

/// `None`: a mistake of the application.
fn of_send(error: &EventSendError) -> Option<EventError> {
    match error {
        EventSendError::Send(error) => Some((*error).into()),
        EventSendError::Broadcast(error) => Some((*error).into()),
        EventSendError::NoSession => {
            Some(EventError::new(404, error.to_string()).with_reason("no_session"))
        }
        EventSendError::Unwritable(_) | EventSendError::NoRoom => None,
    }
}

/// `None`: a mistake of the application.
fn of_request(error: &RequestError) -> Option<EventError> {
    let (code, reason) = match error {
        RequestError::Send(error) => return of_send(error),
        RequestError::Refused(_) => (409, "request_refused"),
        RequestError::Timeout { .. } => (408, "no_answer"),
        RequestError::TooMany { .. } => (429, "too_many_requests"),
        RequestError::Closed => (410, "closed"),
    };
    Some(EventError::new(code, error.to_string()).with_reason(reason))
}

/// What a client is told: 403 `refused` where the application says no, 422 `room_name`, 429
/// `too_many_rooms`, 503 `room_full` or `busy` where there may be a place later, and 410 `closed`, which nobody is there
/// to hear.
impl From<JoinError> for EventError {
    fn from(error: JoinError) -> Self {
        let (code, reason) = match error {
            JoinError::Refused => (403, "refused"),
            JoinError::Name { .. } => (422, "room_name"),
            JoinError::RoomFull { .. } => (503, "room_full"),
            JoinError::TooManyRooms { .. } => (429, "too_many_rooms"),
            JoinError::Busy { .. } => (503, "busy"),
            JoinError::Closed => (410, "closed"),
        };
        Self::new(code, error.to_string()).with_reason(reason)
    }
}

/// What a client is told: 403 `refused` where the application says no, 413 `too_much` where no more may be noted.
impl From<MetadataError> for EventError {
    fn from(error: MetadataError) -> Self {
        let (code, reason) = match error {
            MetadataError::Refused => (403, "refused"),
            MetadataError::Full { .. } => (413, "too_much"),
        };
        Self::new(code, error.to_string()).with_reason(reason)
    }
}

/// What a client is told: the status of the refusal, 401, 403, 429 and the like, and its text.
impl From<AuthError> for EventError {
    fn from(error: AuthError) -> Self {
        Self::new(error.status().as_u16().into(), error.to_string())
    }
}

/// What a client is told: 503 `busy`. How much waits is nobody's business.
impl From<BroadcastError> for EventError {
    fn from(_: BroadcastError) -> Self {
        Self::new(503, "too busy").with_reason("busy")
    }
}

/// What a client is told: 410 `closed`, 503 `busy` where there is no place for the message now.
impl From<SendError> for EventError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed => Self::new(410, error.to_string()).with_reason("closed"),
            SendError::Full { .. } | SendError::Timeout { .. } => {
                Self::new(503, "too busy").with_reason("busy")
            }
        }
    }
}

/// What a client is told: as of [`SendError`] and [`BroadcastError`], 404 `no_session`, or that it is the server's fault.
impl From<EventSendError> for EventError {
    fn from(error: EventSendError) -> Self {
        of_send(&error).unwrap_or_else(|| Self::internal().with_source(error))
    }
}

/// What a client is told: 408 `no_answer`, 409 `request_refused` where it has answered with an error, 429
/// `too_many_requests`; else as of [`EventSendError`].
impl From<RequestError> for EventError {
    fn from(error: RequestError) -> Self {
        of_request(&error).unwrap_or_else(|| Self::internal().with_source(error))
    }
}
