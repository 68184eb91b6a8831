//! Which connections a client may make.

use std::net::{IpAddr, SocketAddr};

use crate::error::{Denied, Error, SettingError};
use crate::handshake::Network;

use super::pattern::{Purpose, UrlPattern};
use super::reserved::{embedded, is_public};
use super::target::{Scheme, Target};

/// Which connections a client may make. By default all.
///
/// It guards programs that connect to URLs of others against being sent to where they should not go
/// (server-side request forgery). The URL is judged first, then each address its name leads to, and both
/// again for each redirect and each reconnect, so a name that leads elsewhere the second time gains
/// nothing. What was judged is what is connected to.
///
/// Patterns are `scheme://host[:port][/path]`:
///
/// | part | is | matches |
/// |---|---|---|
/// | scheme | `ws`, `wss`, `*` for both, `ws+unix` | itself |
/// | host | a name or an address | itself, in whatever form it is written |
/// | | `*.example.com` | every name under it, not itself |
/// | | `*` | every host |
/// | port | left out | the default port of the scheme |
/// | | a number, or `*` | itself, or every port |
/// | path | left out, or `/*` | every path |
/// | | `/a` | itself, whatever the query |
/// | | `/a/*` | what begins with `/a/` |
///
/// A pattern of a Unix socket is `ws+unix://` and the path of the socket.
///
/// ```
/// use sockeye::client::Policy;
///
/// let policy = Policy::public_only()
///     .allow("wss://*.example.com")?
///     .deny("wss://admin.example.com:*")?;
/// assert!(policy.check("wss://api.example.com/v1").is_ok());
/// assert!(policy.check("wss://admin.example.com/").is_err());
/// assert!(policy.check("wss://127.0.0.1/").is_err());
/// # Ok::<(), sockeye::client::SettingError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policy {
    is_disabled: bool,
    is_public_only: bool,
    allowed: Vec<UrlPattern>,
    denied: Vec<UrlPattern>,
    networks_allowed: Vec<Network>,
    networks_denied: Vec<Network>,
}

impl Policy {
    /// Everything is allowed. This is the default.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::default()
    }

    /// No connection is allowed.
    #[must_use]
    pub fn disabled() -> Self {
        Self { is_disabled: true, ..Self::default() }
    }

    /// Only addresses of the public internet: not this machine, no private, shared, link-local or other
    /// reserved address, none at which clouds have their metadata, and none of them in the clothes of
    /// IPv6 (mapped, translated, 6to4, Teredo, ISATAP). No Unix socket either, unless a pattern allows it.
    ///
    /// Through a proxy a name is then looked up here and its address is what the proxy is asked for.
    #[must_use]
    pub fn public_only() -> Self {
        Self { is_public_only: true, ..Self::default() }
    }

    /// Allows what matches. As soon as one is there, everything else is denied.
    ///
    /// # Errors
    /// [`SettingError::Pattern`].
    pub fn allow(mut self, pattern: &str) -> Result<Self, SettingError> {
        self.allowed.push(UrlPattern::parse(pattern)?);
        Ok(self)
    }

    /// Denies what matches, whatever is allowed.
    ///
    /// # Errors
    /// [`SettingError::Pattern`].
    pub fn deny(mut self, pattern: &str) -> Result<Self, SettingError> {
        self.denied.push(UrlPattern::parse(pattern)?);
        Ok(self)
    }

    /// Allows the addresses of a network, as `10.1.0.0/16`, also where only public ones are.
    ///
    /// # Errors
    /// [`SettingError::Network`].
    pub fn allow_network(mut self, network: &str) -> Result<Self, SettingError> {
        self.networks_allowed.push(network.parse()?);
        Ok(self)
    }

    /// Denies the addresses of a network, whatever is allowed.
    ///
    /// # Errors
    /// [`SettingError::Network`].
    pub fn deny_network(mut self, network: &str) -> Result<Self, SettingError> {
        self.networks_denied.push(network.parse()?);
        Ok(self)
    }

    /// Whether this URL is allowed, as far as it can be told without looking its name up.
    ///
    /// # Errors
    /// [`Error::Denied`], and [`Error::Url`] for what is none.
    pub fn check(&self, url: &str) -> Result<(), Error> {
        let target = Target::parse(url)?;
        self.check_target(&target)?;
        match target.address() {
            Some(address) if !self.allows_address(address) => Err(Denied::Address.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn check_target(&self, target: &Target) -> Result<(), Denied> {
        if self.is_disabled {
            return Err(Denied::Disabled);
        }
        let is_any = |patterns: &[UrlPattern], purpose| {
            patterns.iter().any(|pattern| pattern.matches(target, purpose))
        };
        if is_any(&self.denied, Purpose::Deny) {
            return Err(Denied::Url);
        }
        let is_named = is_any(&self.allowed, Purpose::Allow);
        if !is_named && !self.allowed.is_empty() {
            return Err(Denied::Url);
        }
        if !is_named && self.is_public_only && target.scheme == Scheme::WsUnix {
            return Err(Denied::Address);
        }
        Ok(())
    }

    /// Whether addresses matter, so that a name has to be looked up here.
    pub(super) fn judges_addresses(&self) -> bool {
        self.is_public_only || !self.networks_denied.is_empty()
    }

    /// Those addresses of a host that are allowed.
    pub(super) fn filter(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Denied> {
        let had_any = !addresses.is_empty();
        addresses.retain(|address| self.allows_address(address.ip()));
        if addresses.is_empty() && had_any { Err(Denied::Address) } else { Ok(addresses) }
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
        };
        self.allows_one(address) && within.is_none_or(|within| self.allows_one(within))
    }

    fn allows_one(&self, address: IpAddr) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        !is_in(&self.networks_denied)
            && (!self.is_public_only || is_in(&self.networks_allowed) || is_public(address))
    }
}
