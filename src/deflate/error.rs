//! What can be wrong with a server's answer.

/// What is wrong with a server's answer. The client has to fail the connection then (RFC 7692 5.1).
///
/// No variant and no text holds a text of the peer's, so an error may be logged as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeflateAnswerError {
    /// Compression was chosen, which we did not offer. Source: RFC 6455 4.1 response item 5.
    #[error("permessage-deflate was not offered")]
    NotOffered,
    /// A parameter that RFC 7692 7.1 does not know.
    #[error("unknown parameter of permessage-deflate")]
    Unknown,
    /// The same parameter twice. Source: RFC 7692 7.1.
    #[error("{name} stands there twice")]
    Repeated {
        /// The parameter.
        name: &'static str,
    },
    /// A window that is not exactly one of 8, 9, ... 15, or a value where none belongs. Source: RFC
    /// 7692 7.1.1, 7.1.2.
    #[error("invalid value of {name}")]
    Value {
        /// The parameter.
        name: &'static str,
    },
    /// We asked the server to start every message anew, and the answer does not promise it. Source:
    /// RFC 7692 7.1.1.1.
    #[error("the answer lacks server_no_context_takeover, which was asked for")]
    ContextMissing,
    /// We asked the server to stay within a window, and the answer does not promise it. Source: RFC
    /// 7692 7.1.2.1.
    #[error("the answer lacks server_max_window_bits, of which {offered} were asked for")]
    WindowMissing {
        /// The bits we asked for.
        offered: u8,
    },
    /// The answer has a larger window than we offered. Source: RFC 7692 7.1.2.1, 7.1.2.2.
    #[error("the answer raises {name} from {offered} to {answered}")]
    WindowRaised {
        /// The parameter.
        name: &'static str,
        /// The bits we offered.
        offered: u8,
        /// The bits of the answer.
        answered: u8,
    },
    /// The server wants us to compress within 256 bytes, which is lawful and more than our
    /// compressor can do. Source: RFC 7692 7.1.2.2.
    #[error("client_max_window_bits of 8 are not supported")]
    WindowTooSmall,
}
