//! What counts as one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address of a peer as limits count it: an IPv4 address, or the first 64 bits of an IPv6 one.
///
/// One subscriber has all addresses of a /64, so they are one here. An IPv6 address that only writes
/// an IPv4 one (`::ffff:192.0.2.1`) is that one. Source: RFC 4291 2.5.4, 2.5.5.2; RFC 6177 2.
///
/// ```
/// use sockeye::handshake::AddressKey;
///
/// let key = |text: &str| AddressKey::from(text.parse::<std::net::IpAddr>().unwrap());
/// assert_eq!(key("2001:db8::1"), key("2001:db8::2:0:0:1"));
/// assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(Repr);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    V4(u32),
    /// The upper half.
    V6(u64),
}

impl AddressKey {
    /// Another for each: what has the numbers of IPv4 addresses in IPv6 is reserved, but for the loopback, which is 0 as is the
    /// address of nobody (RFC 4291 2.4, 2.5.3; RFC 1122 3.2.1.3).
    pub(crate) const fn number(self) -> u64 {
        match self.0 {
            Repr::V4(bits) => bits as u64,
            Repr::V6(half) => half,
        }
    }
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Repr::V4(address.to_bits()),
            IpAddr::V6(address) => Repr::V6((address.to_bits() >> 64) as u64),
        })
    }
}

impl From<SocketAddr> for AddressKey {
    fn from(address: SocketAddr) -> Self {
        Self::from(address.ip())
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::V4(bits) => write!(f, "{}", Ipv4Addr::from_bits(bits)),
            Repr::V6(half) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(half) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> AddressKey {
        AddressKey::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn keys_show_what_they_count() {
        assert_eq!(key("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(key("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(key("2001:db8:1:2:3:4:5:6").to_string(), "2001:db8:1:2::/64");
        assert_eq!(key("::1").to_string(), "::/64");
        assert_eq!(AddressKey::from("[::1]:80".parse::<SocketAddr>().unwrap()), key("::2"));
    }

    proptest! {
        #[test]
        fn a_host_of_ipv4_and_a_network_of_ipv6_are_one(address: u128, other: u128, host: u32) {
            let of = |bits: u128| AddressKey::from(IpAddr::from(Ipv6Addr::from_bits(bits)));
            let half = u128::from(u64::MAX);
            let is_plain = |bits: u128| Ipv6Addr::from_bits(bits).to_ipv4_mapped().is_none();
            let neighbour = (address & !half) | (other & half);
            prop_assume!(is_plain(address) && is_plain(other) && is_plain(neighbour));
            prop_assert_eq!(of(address), of(neighbour));
            prop_assert_eq!(of(address) == of(other), address >> 64 == other >> 64);
            let host_of = |host: u32| AddressKey::from(IpAddr::from(Ipv4Addr::from_bits(host)));
            prop_assert_ne!(host_of(host), host_of(host ^ 1));
            prop_assert_eq!(of(0xffff_0000_0000 | u128::from(host)), host_of(host));
        }
    }
}
