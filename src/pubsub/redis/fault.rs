//! What an error of the client is, without credentials: only the code of what a server says is told, for in its words may
//! be what it was told.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::pubsub::error::{PubSubError, PubSubErrorKind};

/// What an error of a server's connection is.
pub(crate) fn kind_of(error: &RedisError) -> PubSubError {
    let kind = match error.kind() {
        ErrorKind::AuthenticationFailed => PubSubErrorKind::Refused,
        ErrorKind::Server(ServerErrorKind::NoPerm) => PubSubErrorKind::Refused,
        ErrorKind::InvalidClientConfig => PubSubErrorKind::Setting,
        ErrorKind::RESP3NotSupported | ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            PubSubErrorKind::Answer
        }
        ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => PubSubErrorKind::Refused,
            _ => PubSubErrorKind::Answer,
        },
        _ => PubSubErrorKind::Lost,
    };
    let source = error.code().map_or_else(|| error.category().to_owned(), str::to_owned);
    PubSubError::new(kind).with_source(source)
}

/// The same of a cluster's: what a node does not have, or not now, is lost.
pub(crate) fn of_cluster(error: &RedisError) -> PubSubError {
    let other = kind_of(error);
    if !is_moved(error) {
        return other;
    }
    let code = error.code().unwrap_or_default().to_owned();
    PubSubError::new(PubSubErrorKind::Lost).with_source(code)
}

/// Whether a node of a cluster has not done what it was asked because it is, or may be, another's.
pub(crate) fn is_moved(error: &RedisError) -> bool {
    let ErrorKind::Server(kind) = error.kind() else { return false };
    matches!(
        kind,
        ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
    )
}

/// What is lost before there is a connection cannot be reached.
pub(super) fn of_connecting(error: PubSubError) -> PubSubError {
    if error.kind() != PubSubErrorKind::Lost {
        return error;
    }
    let unreachable = PubSubError::new(PubSubErrorKind::Unreachable);
    match std::error::Error::source(&error) {
        Some(source) => unreachable.with_source(source.to_string()),
        None => unreachable,
    }
}
