//! Certificates made on the spot, and a TLS client by hand.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sockeye::tls::rustls::client::ClientConnection;
use sockeye::tls::rustls::pki_types::pem::PemObject;
use sockeye::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sockeye::tls::rustls::server::WebPkiClientVerifier;
use sockeye::tls::rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};
use sockeye::tls::{TlsAcceptor, TlsConnector, rustls};
use sockeye::{Acceptor, CloseOutcome, Connector, Error, Message, NetStream, Server, WebSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::pair::quiet;
use super::server::{LONG, within};

/// Who issues certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Each is somebody else.
        let name = format!("authority {:?}", &key.public_key_raw()[..8]);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.sign(&params(names))
    }

    /// One whose last day was long ago.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    /// For this machine.
    pub(crate) fn here(&self) -> TlsAcceptor {
        self.issue(&["localhost", "127.0.0.1"]).acceptor()
    }

    /// The same, for clients that show a certificate of this authority.
    pub(crate) fn asking(&self) -> TlsAcceptor {
        let issued = self.issue(&["localhost", "127.0.0.1"]);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let chain = vec![CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from_config(config)
    }

    /// A client that trusts it and nobody else.
    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::roots_pem(self.pem.as_bytes()).unwrap()
    }

    /// The same as a configuration, for these versions.
    pub(crate) fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        client_config(&self.pem, versions)
    }

    /// A client without a runtime, which sees what TLS says.
    pub(crate) fn by_hand(&self) -> ClientConfig {
        self.config(&[&version::TLS13, &version::TLS12])
    }

    fn sign(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { chain, key: key.serialize_pem() }
    }
}

impl Issued {
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = params(names).self_signed(&key).unwrap().pem();
        Self { chain, key: key.serialize_pem() }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// A client that trusts these roots.
pub(crate) fn client_config(
    pem: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
}

/// A TLS connection by hand to a server on this machine. It blocks: run it where that is allowed.
pub(crate) struct ByHand {
    pub(crate) tls: ClientConnection,
    pub(crate) tcp: TcpStream,
}

impl ByHand {
    /// Before the handshake.
    pub(crate) fn dial(config: ClientConfig, addr: SocketAddr) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(addr).unwrap();
        tcp.set_read_timeout(Some(LONG)).unwrap();
        Self { tls, tcp }
    }

    /// All bytes up to the end; an end without `close_notify` is an error.
    pub(crate) fn talk(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.tcp);
        stream.write_all(bytes)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// An echo server with TLS, and how its connections ended.
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    pub(crate) outcomes: mpsc::UnboundedReceiver<CloseOutcome>,
    // Ends with it.
    _serving: JoinSet<std::io::Result<()>>,
}

impl Site {
    pub(crate) async fn start(tls: TlsAcceptor) -> Self {
        Self::with(tls, Acceptor::new(quiet())).await
    }

    pub(crate) async fn with(tls: TlsAcceptor, acceptor: Acceptor) -> Self {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        let (ended, outcomes) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(server.acceptor(acceptor).tls(tls).serve(move |mut socket, _| {
            let ended = ended.clone();
            async move {
                while let Ok(Some(message)) = socket.recv().await {
                    if message.as_text() == Some("bye") {
                        let _ = socket.close(1000, "bye").await;
                    } else if socket.send(message).await.is_err() {
                        break;
                    }
                }
                socket.outcome().into_iter().for_each(|outcome| drop(ended.send(outcome.clone())));
            }
        }));
        Self { addr, outcomes, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("wss://localhost:{}/", self.addr.port())
    }

    pub(crate) async fn connect(&self, tls: TlsConnector) -> Result<WebSocket<NetStream>, Error> {
        within(Connector::new(quiet()).tls(tls).connect(&self.url())).await
    }

    /// A client that trusts this authority is served.
    pub(crate) async fn serves(&self, authority: &Authority) {
        let mut socket = self.connect(authority.connector()).await.unwrap();
        talk(&mut socket, "hello".into()).await;
        within(socket.close(1000, "")).await.unwrap();
    }
}

pub(crate) async fn talk(socket: &mut WebSocket<NetStream>, message: Message) {
    within(socket.send(message.clone())).await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), Some(message));
}
