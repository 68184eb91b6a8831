//! What can be wrong with TLS.

use std::io;
use std::path::PathBuf;

use rustls::{CertificateError, InconsistentKeys};

use crate::error::Error;

/// Why there is no TLS. No text of it holds a key.
///
/// What a connection failed by is inside of [`Error::Tls`]: see [`of`](Self::of).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Neither has the program installed a crypto provider nor does a feature bring one.
    #[error("no crypto provider: install a default one, or turn on the feature ring or aws-lc-rs")]
    NoProvider,
    /// There is nobody to trust: the system has no roots, or no feature brings some.
    #[error("no root certificates")]
    NoRoots,
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// PEM that cannot be read.
    #[error("pem: {0}")]
    Pem(String),
    /// PEM without a certificate.
    #[error("no certificate in the pem")]
    NoCertificate,
    /// PEM without a private key.
    #[error("no private key in the pem")]
    NoKey,
    /// The private key is not that of the certificate.
    #[error("the private key is not that of the certificate")]
    KeyMismatch,
    /// The configuration is the caller's own, so this is not ours to change.
    #[error("the configuration is the caller's own")]
    OwnConfig,
    /// The peer's certificate has expired, or is not valid yet.
    #[error("the certificate has expired or is not valid yet")]
    Expired,
    /// The peer's certificate is for other names than the one asked for.
    #[error("the certificate is not for this host")]
    WrongHost,
    /// The peer's certificate was issued by somebody who is not trusted, itself perhaps.
    #[error("the certificate's issuer is not trusted")]
    UnknownIssuer,
    /// The peer's certificate is wrong in another way.
    #[error("the certificate is not valid: {0}")]
    Certificate(CertificateError),
    /// Anything else that the TLS library says.
    #[error(transparent)]
    Other(rustls::Error),
}

impl TlsError {
    /// Why a connection could not be made, where TLS is the reason.
    ///
    /// ```
    /// use sockeye::tls::TlsError;
    ///
    /// # async fn example() -> Result<(), sockeye::Error> {
    /// match sockeye::connect("wss://expired.example/").await {
    ///     Err(error) if matches!(TlsError::of(&error), Some(TlsError::Expired)) => eprintln!("renew it"),
    ///     result => drop(result?),
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Tls(error) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// What a handshake failed by: an error of the stream stays what it is.
    pub(super) fn of_handshake(error: io::Error) -> io::Error {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from(error).into(),
            Err(error) => error,
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        use CertificateError::{
            Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
            NotValidYetContext, UnknownIssuer,
        };
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                    Self::Expired
                }
                NotValidForName | NotValidForNameContext { .. } => Self::WrongHost,
                UnknownIssuer => Self::UnknownIssuer,
                error => Self::Certificate(error),
            },
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::KeyMismatch,
            error => Self::Other(error),
        }
    }
}

impl From<TlsError> for io::Error {
    /// None of them passes by itself.
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
