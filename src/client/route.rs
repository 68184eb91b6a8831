//! From a target to an open stream.

use std::net::SocketAddr;

use url::Host;

use crate::error::Error;
use crate::net::ClientStream;

use super::connector::Connector;
use super::race;
use super::target::{Place, Target};

impl Connector {
    /// A stream to the target, up to and with TLS. The caller has a deadline.
    pub(super) async fn open(&self, target: &Target) -> Result<ClientStream, Error> {
        let (host, port) = match &target.place {
            Place::Unix(path) => {
                return self.dial.connect_unix(path).await.map_err(Error::Connect);
            }
            Place::Net { host, port } => (host, *port),
        };
        let tls = match (target.is_secure(), &self.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls),
            (true, None) => return Err(Error::Url("wss needs TLS, and this connector has none")),
        };
        let addresses = self.policy.filter(self.addresses(host, port).await?)?;
        let stream = race::connect(&*self.dial, &addresses).await.map_err(Error::Connect)?;
        match tls {
            None => Ok(stream),
            Some(tls) => tls.connect(&name_of(host), stream).await.map_err(Error::Tls),
        }
    }

    async fn addresses(&self, host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, Error> {
        match host {
            Host::Ipv4(address) => Ok(vec![(*address, port).into()]),
            Host::Ipv6(address) => Ok(vec![(*address, port).into()]),
            Host::Domain(name) => self.dial.resolve(name, port).await.map_err(Error::Connect),
        }
    }
}

/// Without the brackets of an IPv6 address.
fn name_of(host: &Host<String>) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}
