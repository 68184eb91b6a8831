//! Built without TLS.

use std::net::IpAddr;

use sockeye::Server;

use crate::certificate::Certificate;

/// There is none.
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn new(_: &Certificate, _: IpAddr) -> Result<Self, Box<dyn std::error::Error>> {
        Err("built without TLS: add --features tls,ring".into())
    }

    pub(crate) fn protect(&self, server: Server) -> Server {
        server
    }
}
