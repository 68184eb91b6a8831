//! TLS as the client.

use std::fmt;
use std::io;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use crate::net::NetStream;
use crate::sync::{Arc, OnceLock};

use super::certificate::{certificates, certified_key};
use super::error::TlsError;
use super::provider::{HTTP_1_1, provider};
use super::{native, webpki};

/// What a `wss` URL is connected with, once it was needed.
static SYSTEM: OnceLock<TlsConnector> = OnceLock::new();

/// TLS for clients, for [`Connector::tls`](crate::Connector::tls): TLS 1.2 and 1.3, and the server has to prove that it is the host
/// of the URL. A clone is the same one.
///
/// A client needs it for roots, certificates or a configuration of its own; without, `wss` takes the
/// operating system's roots.
///
/// ```no_run
/// use sockeye::tls::TlsConnector;
/// use sockeye::{Config, Connector};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsConnector::roots_pem(&std::fs::read("our-ca.pem")?)?
///     .client_certificate(&std::fs::read("me.pem")?, &std::fs::read("me.key")?)?;
/// let socket = Connector::new(Config::default()).tls(tls).connect("wss://inside.example/").await?;
/// # drop(socket);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// Trusts these roots and no others.
    ///
    /// # Errors
    /// [`TlsError::NoProvider`].
    pub fn new(roots: RootCertStore) -> Result<Self, TlsError> {
        let config = ClientConfig::builder_with_provider(provider()?)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::from_config(config))
    }

    /// Trusts the certificates of this PEM text and no others: those of authorities, or one that a server
    /// signed itself.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::NoCertificate`], [`TlsError::NoProvider`]; a certificate that is none
    /// is [`TlsError::Certificate`].
    pub fn roots_pem(text: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(text)? {
            roots.add(certificate)?;
        }
        Self::new(roots)
    }

    /// What `wss` takes by itself: the roots of the operating system with the feature `tls-native-roots`;
    /// those of `tls-webpki-roots` where that is off or the system has none.
    ///
    /// # Errors
    /// [`TlsError::NoRoots`], [`TlsError::NoProvider`].
    ///
    /// Cost: may read hundreds of certificates from the disk.
    pub fn system_roots() -> Result<Self, TlsError> {
        Self::new(native().or_else(webpki).ok_or(TlsError::NoRoots)?)
    }

    /// A configuration of one's own: who is trusted, versions, cryptography, client certificates. ALPN
    /// becomes `http/1.1`, and early data is off.
    #[must_use]
    pub fn from_config(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.enable_early_data = false;
        Self { config: Arc::new(config) }
    }

    /// Shows this certificate to servers that ask for one: the chain, one's own first, and its key, both
    /// PEM.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::NoCertificate`], [`TlsError::NoKey`], [`TlsError::KeyMismatch`].
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = certified_key(chain, key, self.config.crypto_provider())?;
        let config = Arc::make_mut(&mut self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
        // A session that began without the certificate is not gone on with.
        config.resumption = Resumption::default();
        Ok(self)
    }

    /// The system's, made once for the process and off the runtime's threads.
    pub(crate) async fn system() -> Result<Self, TlsError> {
        if let Some(connector) = SYSTEM.get() {
            return Ok(connector.clone());
        }
        let made = tokio::task::spawn_blocking(Self::system_roots).await;
        // It is not there when the runtime ends, and then nobody connects any more.
        let made = made.unwrap_or(Err(TlsError::NoRoots))?;
        Ok(SYSTEM.get_or_init(|| made).clone())
    }

    /// Does the handshake on a stream as a client of `host`, a name or an address without brackets. There is
    /// no deadline here.
    ///
    /// # Errors
    /// A [`TlsError`] inside, or what the stream failed by.
    ///
    /// Cancel safety: dropping the future drops the stream.
    pub async fn connect(&self, host: &str, stream: NetStream) -> io::Result<NetStream> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no name of a server"))?;
        let connector = tokio_rustls::TlsConnector::from(self.config.clone());
        let stream = connector.connect(name, stream).await.map_err(TlsError::of_handshake)?;
        Ok(NetStream::boxed(stream))
    }
}

/// Nothing of keys.
impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").finish_non_exhaustive()
    }
}
