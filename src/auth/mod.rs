//! Floor 7: who somebody is, and whether they may come in. HS256 tokens (RFC 7515, 7518, 7519), room
//! passwords, and [`Authenticator`] for everything else.
//!
//! It is a leaf without I/O: no runtime, no sockets, and the clock is an argument ([`JwtSigner::sign_for`] alone looks
//! at the wall). It does not know who calls it: a server reads [`Credentials`] off the request, asks an authenticator before it
//! upgrades, and keeps the [`Identity`] beside the connection.
//!
//! ```text
//! http::Request -> CredentialSources -> Credentials -> Authenticator -> Identity
//!                          |                                 |
//!                          +---------------------------------+-> AuthError -> http::Response
//! ```
//!
//! Which page may connect is [`Origins`](crate::Origins), on floor 3.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use sockeye::auth::{Authenticator, CredentialSources, JwtVerifier, Secret};
//! use sockeye::{Acceptor, Answer};
//!
//! # fn of_the_environment() -> Vec<u8> { vec![7; 32] }
//! let verifier = std::sync::Arc::new(JwtVerifier::new(Secret::new(of_the_environment())?));
//! let sources = CredentialSources::new();
//! let acceptor = Acceptor::default().on_request(move |request| {
//!     let verifier = verifier.clone();
//!     let credentials = sources.read(request.http(), SystemTime::now());
//!     async move {
//!         let identity = match credentials {
//!             Ok(credentials) => verifier.authenticate(credentials).await,
//!             Err(error) => Err(error.into()),
//!         };
//!         match identity {
//!             Ok(_) => Answer::accept(),
//!             Err(error) => Answer::Respond(error.to_response()),
//!         }
//!     }
//! });
//! # Ok::<(), sockeye::auth::SetupError>(())
//! ```
//!
//! What is kept out of sight: no `Debug`, no `Display` and no error of this floor holds a secret, a
//! password, a token or a part of one.

mod authenticator;
mod credentials;
mod error;
mod guessing;
mod identity;
mod jwt;
mod password;
mod query;
mod room_auth;
mod secret;
mod sources;

pub use crate::handshake::RoomNameError;
pub use authenticator::{AuthenticateFn, Authenticator, SharedAuthenticator, authenticate_fn};
pub use credentials::Credentials;
pub use error::{AuthError, CredentialsError, SetupError};
pub use guessing::{Attempt, GuessLimiter};
pub use identity::Identity;
pub use jwt::{Claims, JwtError, JwtSigner, JwtVerifier};
pub use password::{RoomPasswords, RoomsWithoutPassword};
pub use query::{QueryError, query_value};
pub use room_auth::RoomAuth;
pub use secret::Secret;
pub use sources::CredentialSources;

pub use crate::handshake::is_credential;
