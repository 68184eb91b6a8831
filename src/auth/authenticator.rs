//! Who decides.

use std::fmt;
use std::pin::Pin;

use crate::sync::Arc;

use super::{AuthError, Credentials, Identity, JwtVerifier};

/// Decides who somebody is. Write it as an `async fn`.
///
/// The future may be dropped at any await, when the handshake takes too long: what it began must not
/// need an end. Ready ones are [`JwtVerifier`], [`RoomPasswords`](super::RoomPasswords) and
/// [`RoomAuth`](super::RoomAuth); [`authenticate_fn`] makes one of a closure.
///
/// ```
/// use sockeye::auth::{AuthError, Authenticator, Credentials, Identity};
///
/// struct Sessions;
///
/// impl Authenticator for Sessions {
///     async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
///         let token = credentials.token().ok_or(AuthError::Missing)?;
///         let user = find(token).await.ok_or(AuthError::Invalid)?;
///         Ok(Identity::new(user))
///     }
/// }
/// # async fn find(_: &str) -> Option<String> { None }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Who that is, or why nobody gets in.
    ///
    /// # Errors
    /// [`AuthError`], whose status is answered.
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> impl Future<Output = Result<Identity, AuthError>> + Send;
}

/// The subject of a token; without one nobody.
impl Authenticator for JwtVerifier {
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        let token = credentials.token().ok_or(AuthError::Missing)?;
        Ok(Identity::from_claims(self.verify(token, credentials.now())?)?)
    }
}

impl<A: Authenticator> Authenticator for Arc<A> {
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        A::authenticate(self, credentials).await
    }
}

/// An authenticator made of a closure.
///
/// ```
/// use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
///
/// let authenticator = authenticate_fn(async |credentials: Credentials| {
///     let token = credentials.token().ok_or(AuthError::Missing)?;
///     if token == "let me in" { Ok(Identity::guest()) } else { Err(AuthError::Invalid) }
/// });
/// # fn is<A: sockeye::auth::Authenticator>(_: A) {}
/// # is(authenticator);
/// ```
pub fn authenticate_fn<F, Fut>(function: F) -> AuthenticateFn<F>
where
    F: Fn(Credentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, AuthError>> + Send,
{
    AuthenticateFn(function)
}

/// What [`authenticate_fn`] makes.
#[derive(Clone)]
pub struct AuthenticateFn<F>(F);

impl<F, Fut> Authenticator for AuthenticateFn<F>
where
    F: Fn(Credentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, AuthError>> + Send,
{
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        (self.0)(credentials).await
    }
}

impl<F> fmt::Debug for AuthenticateFn<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AuthenticateFn").finish_non_exhaustive()
    }
}

/// Any authenticator, its type forgotten. Cloning counts a reference.
///
/// Cost: one allocation for each attempt.
#[derive(Clone)]
pub struct SharedAuthenticator(Arc<dyn Boxed>);

impl SharedAuthenticator {
    /// Forgets the type of an authenticator.
    #[must_use]
    pub fn new(authenticator: impl Authenticator) -> Self {
        Self(Arc::new(authenticator))
    }
}

impl Authenticator for SharedAuthenticator {
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        self.0.authenticate_boxed(credentials).await
    }
}

impl fmt::Debug for SharedAuthenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedAuthenticator").finish_non_exhaustive()
    }
}

/// The trait again in a form that can be called without the type.
trait Boxed: Send + Sync {
    fn authenticate_boxed(&self, credentials: Credentials) -> BoxFuture<'_>;
}

type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result<Identity, AuthError>> + Send + 'a>>;

impl<A: Authenticator> Boxed for A {
    fn authenticate_boxed(&self, credentials: Credentials) -> BoxFuture<'_> {
        Box::pin(self.authenticate(credentials))
    }
}
