//! Built without TLS.

use sockeye::Connector;

use crate::options::{Failure, Trust};

pub(crate) fn protect(connector: Connector, trust: &Trust) -> Result<Connector, Failure> {
    let is_plain = trust.roots.is_none() && trust.chain.is_none();
    if is_plain { Ok(connector) } else { Err("built without TLS: add --features full".into()) }
}
