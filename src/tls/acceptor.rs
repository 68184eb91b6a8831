//! TLS as the server.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use crate::net::{AcceptTls, ByteStream, NetStream};
use crate::sync::{Arc, Mutex};

use super::certificate::certified_key;
use super::error::TlsError;
use super::provider::{HTTP_1_1, provider};

/// TLS for servers, for [`Server::tls`](crate::Server::tls): TLS 1.2 and 1.3. A clone is the same one, so that one can be kept
/// to change its certificate while the server runs.
///
/// ```no_run
/// use sockeye::Server;
/// use sockeye::tls::TlsAcceptor;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsAcceptor::from_files("chain.pem", "key.pem")?;
/// let renewing = tls.clone();
/// tokio::spawn(async move {
///     let mut days = tokio::time::interval(std::time::Duration::from_secs(24 * 60 * 60));
///     loop {
///         days.tick().await;
///         if let Err(error) = renewing.reload() {
///             eprintln!("the old certificate stays: {error}");
///         }
///     }
/// });
/// let server = Server::bind("0.0.0.0:443").await?.tls(tls);
/// # drop(server);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    /// `None`: the caller's configuration has its own.
    certificate: Option<Arc<Certificate>>,
    files: Option<Arc<Files>>,
}

struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl TlsAcceptor {
    /// With the certificate of two PEM files: the chain, one's own certificate first, and its key
    /// (PKCS #8, PKCS #1 or SEC 1). They are read here and at each [`reload`](Self::reload), at once.
    ///
    /// # Errors
    /// [`TlsError::File`], and as [`from_pem`](Self::from_pem).
    pub fn from_files(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let files = Files { chain: chain.into(), key: key.into() };
        let mut acceptor = Self::from_pem(&read(&files.chain)?, &read(&files.key)?)?;
        acceptor.files = Some(Arc::new(files));
        Ok(acceptor)
    }

    /// The same with PEM texts.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::NoCertificate`], [`TlsError::NoKey`], [`TlsError::KeyMismatch`],
    /// [`TlsError::NoProvider`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = certified_key(chain, key, &*provider()?)?;
        let certificate = Arc::new(Certificate { current: Mutex::new(Arc::new(key)) });
        Self::with_versions(certificate, rustls::DEFAULT_VERSIONS)
    }

    /// A configuration of one's own: certificates by name, clients that have to show theirs. ALPN becomes
    /// `http/1.1`, and early data is off.
    #[must_use]
    pub fn from_config(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.max_early_data_size = 0;
        Self { config: Arc::new(config), certificate: None, files: None }
    }

    /// Refuses TLS 1.2.
    ///
    /// # Errors
    /// [`TlsError::OwnConfig`], [`TlsError::NoProvider`].
    pub fn tls13_only(self) -> Result<Self, TlsError> {
        let certificate = self.certificate.ok_or(TlsError::OwnConfig)?;
        let acceptor = Self::with_versions(certificate, &[&version::TLS13])?;
        Ok(Self { files: self.files, ..acceptor })
    }

    /// Reads the files again. Connections that begin from now on get the new certificate; those there are
    /// go on. The same holds for all clones.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files), and then the old certificate stays;
    /// [`TlsError::OwnConfig`] where it does not come from files.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = self.files.as_ref().ok_or(TlsError::OwnConfig)?;
        self.replace_pem(&read(&files.chain)?, &read(&files.key)?)
    }

    /// The same with PEM texts, from wherever they come.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), and then the old certificate stays;
    /// [`TlsError::OwnConfig`] after [`from_config`](Self::from_config).
    pub fn replace_pem(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let certificate = self.certificate.as_ref().ok_or(TlsError::OwnConfig)?;
        let key = certified_key(chain, key, self.config.crypto_provider())?;
        *certificate.current.lock() = Arc::new(key);
        Ok(())
    }

    /// Does the handshake on a stream as the server, for accept loops of one's own; a
    /// [`Server`](crate::Server) does it itself. There is no deadline here.
    ///
    /// # Errors
    /// A [`TlsError`] inside, or what the stream failed by.
    ///
    /// Cancel safety: dropping the future drops the stream.
    pub async fn accept(&self, stream: impl ByteStream) -> io::Result<NetStream> {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.config.clone());
        let stream = acceptor.accept(stream).await.map_err(TlsError::of_handshake)?;
        Ok(NetStream::boxed(stream))
    }

    fn with_versions(
        certificate: Arc<Certificate>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, TlsError> {
        let config = ServerConfig::builder_with_provider(provider()?)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        Ok(Self { certificate: Some(certificate), ..Self::from_config(config) })
    }
}

impl AcceptTls for TlsAcceptor {
    fn accept(
        &self,
        stream: NetStream,
    ) -> std::pin::Pin<Box<dyn Future<Output = io::Result<NetStream>> + Send + '_>> {
        Box::pin(Self::accept(self, stream))
    }
}

/// Nothing of keys.
impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}

/// The certificate of new connections.
struct Certificate {
    current: Mutex<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.lock().clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}
