//! The two roles of RFC 6455.

/// Which end of the connection this is.
///
/// A client masks what it sends and takes unmasked frames, a server the other way round; a server
/// closes TCP first. Source: RFC 6455 5.1 and 7.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Server,
}
