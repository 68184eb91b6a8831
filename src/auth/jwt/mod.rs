//! JSON Web Tokens with one algorithm, HS256 (RFC 7515, 7518 3.2, 7519): verified and signed.
//!
//! It is no JOSE library: no other algorithm, no key from a token, no encryption.
//!
//! ```text
//! token -> length -> three segments -> header -> key -> signature -> claims -> times, audience
//! ```
//!
//! Nothing of the claims is looked at before the signature holds.

mod claims;
mod error;
mod object;
mod signer;
mod verifier;

pub use claims::Claims;
pub use error::JwtError;
pub use signer::JwtSigner;
pub use verifier::JwtVerifier;
