//! What is agreed on where a load is compressed.

use crate::options::Options;

/// Whether a message may refer to those before it. Source: RFC 7692 7.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deflate {
    /// Each message by itself, in both directions.
    NoContext,
    /// The server's messages refer to those before; the client's may, and need not.
    Takeover,
}

impl Deflate {
    /// `--deflate no-context`, the same without a value, or `--deflate takeover`.
    ///
    /// Ends the process with a message where it is neither.
    pub fn from_options(options: &Options) -> Option<Self> {
        options.flag("deflate").then(|| match options.text("deflate") {
            None | Some("no-context") => Self::NoContext,
            Some("takeover") => Self::Takeover,
            Some(other) => {
                eprintln!("--deflate does not take {other:?}");
                std::process::exit(2)
            }
        })
    }

    /// The value of the option.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoContext => "no-context",
            Self::Takeover => "takeover",
        }
    }

    /// The header of a client that offers it, and of a server that accepts that.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::NoContext => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
            Self::Takeover => "permessage-deflate",
        }
    }
}
