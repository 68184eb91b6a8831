//! Why a token is refused.

use std::fmt;

/// Why a token is refused.
///
/// Its `Display` is for the client and says no more than "invalid jwt" or "jwt expired"; the variant,
/// and so `Debug`, is for the operator. Neither holds anything of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwtError {
    /// Longer than 8 KiB.
    TooLong,
    /// Not three segments. Source: RFC 7515 3.1.
    Segments,
    /// A segment is not base64url without padding, in its one canonical form. Source: RFC 7515 2,
    /// RFC 4648 3.5.
    Encoding,
    /// The header is no JSON object, too deep, or has a member twice. Source: RFC 7515 4.
    Header,
    /// The algorithm is not HS256. Source: RFC 8725 3.1.
    Algorithm,
    /// The header brings a key, or asks for an extension: this member. Source: RFC 7515 4.1.
    HeaderMember(&'static str),
    /// The key that the token names, or the one for tokens that name none, is not known here.
    UnknownKey,
    /// The signature is not ours.
    Signature,
    /// The claims are no JSON object, too deep, or have a member twice. Source: RFC 7519 4.
    Claims,
    /// This claim is required and absent.
    ClaimMissing(&'static str),
    /// This claim is of the wrong type, or out of range. Source: RFC 7519 4.1.
    ClaimType(&'static str),
    /// Its time is over. Source: RFC 7519 4.1.4.
    Expired,
    /// Its time has not come. Source: RFC 7519 4.1.5.
    NotYetValid,
    /// It was issued in the future. Source: RFC 7519 4.1.6.
    IssuedInFuture,
    /// It is for somebody else. Source: RFC 7519 4.1.3.
    Audience,
    /// It is of somebody else. Source: RFC 7519 4.1.1.
    Issuer,
    /// It is about somebody else. Source: RFC 7519 4.1.2.
    Subject,
}

impl fmt::Display for JwtError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expired => "jwt expired",
            _ => "invalid jwt",
        })
    }
}

impl std::error::Error for JwtError {}
