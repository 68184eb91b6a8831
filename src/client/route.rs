//! From a target to an open stream.

use std::io;
use std::net::SocketAddr;

use url::Host;

use crate::error::{Error, ProxyError};
use crate::net::NetStream;

use super::connector::Connector;
use super::dial::{Dial, Tls};
use super::proxy::{Proxy, ProxyKind};
use super::race;
use super::target::{Place, Target};
use super::tunnel::{asked_for, through};

const WSS_WITHOUT_TLS: &str =
    "wss needs TLS: enable the features tls-native-roots and ring, or set Connector::tls";

impl Connector {
    /// A stream to the target, up to and with TLS. The caller has a deadline.
    pub(super) async fn open(&self, target: &Target) -> Result<NetStream, Error> {
        let (host, port) = match &target.place {
            Place::Unix(path) => {
                return self.dial.connect_unix(path).await.map_err(Error::Connect);
            }
            Place::Net { host, port } => (host, *port),
        };
        let tls = match (target.is_secure(), &self.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls),
            (true, None) => return Err(Error::Url(WSS_WITHOUT_TLS)),
        };
        let stream = match self.proxies.find(target.scheme, host, port) {
            Some(proxy) => self.open_through(proxy, host, port).await?,
            None => self.open_directly(host, port).await?,
        };
        match tls {
            None => Ok(stream),
            Some(tls) => wrap(&**tls, host, stream).await.map_err(Error::Tls),
        }
    }

    async fn open_directly(&self, host: &Host<String>, port: u16) -> Result<NetStream, Error> {
        let addresses = self.policy.filter(self.addresses(host, port).await?)?;
        race::connect(&*self.dial, &addresses).await.map_err(Error::Connect)
    }

    /// The policy is asked about the server, not about the proxy, which is the caller's choice.
    async fn open_through(
        &self,
        proxy: &Proxy,
        host: &Host<String>,
        port: u16,
    ) -> Result<NetStream, Error> {
        let asked = if self.policy.judges_addresses() {
            let addresses = self.policy.filter(self.addresses(host, port).await?)?;
            addresses.first().map(|address| asked_for(address.ip()))
        } else {
            Some(host.clone())
        };
        let no_address = || Error::Connect(std::io::ErrorKind::NotFound.into());
        let asked = asked.ok_or_else(no_address)?;
        let addresses = self.addresses(&proxy.host, proxy.port).await?;
        let mut stream = race::connect(&*self.dial, &addresses).await.map_err(Error::Connect)?;
        if proxy.kind == ProxyKind::Https {
            let unsupported = ProxyError::Unsupported(
                "https needs TLS, and this connector has none: see Connector::tls",
            );
            let tls = self.tls.as_ref().ok_or(unsupported)?;
            stream = wrap(&**tls, &proxy.host, stream).await.map_err(Error::Tls)?;
        }
        through(proxy, &mut stream, &asked, port).await?;
        Ok(stream)
    }

    async fn addresses(&self, host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, Error> {
        addresses(&*self.dial, host, port).await.map_err(Error::Connect)
    }
}

/// What a host leads to.
pub(crate) async fn addresses(
    dial: &dyn Dial,
    host: &Host<String>,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    match host {
        Host::Ipv4(address) => Ok(vec![(*address, port).into()]),
        Host::Ipv6(address) => Ok(vec![(*address, port).into()]),
        Host::Domain(name) => dial.resolve(name, port).await,
    }
}

/// TLS with a host on a stream to it.
pub(crate) async fn wrap(
    tls: &dyn Tls,
    host: &Host<String>,
    stream: NetStream,
) -> io::Result<NetStream> {
    let name = match host {
        Host::Domain(name) => name.clone(),
        // Without brackets.
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    tls.connect(&name, stream).await
}
