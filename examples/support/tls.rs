//! TLS for the examples that serve.

use std::net::IpAddr;

use sockeye::Server;
use sockeye::tls::TlsAcceptor;

use crate::certificate::Certificate;

/// One certificate for all threads.
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    /// With files, or a certificate of its own, which is stored for clients that shall trust it.
    pub(crate) fn new(
        certificate: &Certificate,
        address: IpAddr,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        match certificate {
            Certificate::Files { chain, key } => Ok(Self(TlsAcceptor::from_files(chain, key)?)),
            Certificate::MadeHere => Self::made_for(address),
        }
    }

    fn made_for(address: IpAddr) -> Result<Self, Box<dyn std::error::Error>> {
        let names = vec!["localhost".to_owned(), address.to_string()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let chain = made.cert.pem();
        let path = std::env::temp_dir().join(format!("sockeye-{}.pem", std::process::id()));
        std::fs::write(&path, &chain)?;
        eprintln!("certificate in {}", path.display());
        let key = made.signing_key.serialize_pem();
        Ok(Self(TlsAcceptor::from_pem(chain.as_bytes(), key.as_bytes())?))
    }

    pub(crate) fn protect(&self, server: Server) -> Server {
        server.tls(self.0.clone())
    }
}
