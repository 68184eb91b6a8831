//! Redirects that are not followed.

/// Why a redirect was not followed. Nothing was sent to where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// More redirects than are followed.
    #[error("more than {max}")]
    TooMany {
        /// How many are followed.
        max: u8,
    },
    /// It leads to a URL that was asked before.
    #[error("in a circle")]
    Loop,
    /// It leads from `wss` to `ws`.
    #[error("from wss to ws")]
    Downgrade,
    /// It leads to what is no URL of a WebSocket.
    #[error("to no WebSocket URL")]
    Location,
}
