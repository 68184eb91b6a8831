//! What a client's policy says no to.

/// Why the client's policy does not allow a connection. Nothing was sent.
///
/// It names neither the URL nor the address: who chose the URL may not be one who may learn where a name
/// leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Connections are disabled altogether.
    #[error("connections are disabled")]
    Disabled,
    /// The URL is not allowed: its scheme, host, port or path.
    #[error("the policy does not allow this URL")]
    Url,
    /// No address of the host is allowed.
    #[error("the policy does not allow the address of this host")]
    Address,
}
