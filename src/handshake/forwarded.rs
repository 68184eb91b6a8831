//! The address of a client behind proxies: `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//!
//! Anybody can write these headers, so only what a trusted proxy wrote is believed. Each proxy adds
//! the address it was called from at the end, so the list is read from there:
//!
//! ```text
//!  X-Forwarded-For:  6.6.6.6 , 203.0.113.9 , 10.0.0.2        the peer: 10.0.0.1
//!                    forged    the client    a proxy of ours   a proxy of ours
//!                              <------------ read from right to left while trusted
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::tokens::trim;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Elements that are looked at. No chain of real proxies is longer; a forged part is never reached.
const HOPS_MAX: usize = 32;

/// Longest address with a port, in bytes, with room to spare.
const NODE_BYTES_MAX: usize = 64;

/// Which header the trusted proxies write. Only this one is believed: a proxy that writes one of them
/// hands the other on as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses with commas between them, as most proxies write.
    XForwardedFor,
    /// `Forwarded`, of which the `for` parameter is read. Source: RFC 7239 4.
    Forwarded,
}

impl ForwardedHeader {
    fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::Forwarded => FORWARDED,
        }
    }

    fn parse(self, element: &[u8]) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => parse_node(element),
            Self::Forwarded => parse_element(element),
        }
    }
}

/// Networks whose word about the client is taken. Empty by default: nobody is believed.
///
/// ```
/// use sockeye::handshake::{ForwardedHeader, TrustedProxies};
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2".parse().unwrap());
/// let peer = "10.0.0.1".parse().ok();
/// let client = proxies.client_address(ForwardedHeader::XForwardedFor, &headers, peer);
/// assert_eq!(client, "203.0.113.9".parse().ok());
/// # Ok::<(), sockeye::handshake::NetworkError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    /// Peers without an address.
    unix: bool,
}

/// What stands among networks for peers without an address.
const UNIX: &str = "unix:";

/// `address` has no bit after the first `prefix_bits`, and is no IPv4 address written as IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

/// A text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// What stands before the slash is no IPv4 or IPv6 address.
    #[error("a network begins with an IPv4 or IPv6 address")]
    Address,
    /// What stands behind it is no number, or more than the address has bits.
    #[error("the length of a network is 0 to 32, of IPv6 0 to 128")]
    Prefix,
    /// The address has bits behind the prefix, as `10.0.0.1/8`: more would be trusted than is written.
    #[error("the address of a network has no bits behind its prefix")]
    HostBits,
}

impl TrustedProxies {
    /// Reads networks as `10.0.0.0/8` and `fd00::/8`, and single addresses. `unix:` is who has no address: the proxy in
    /// front of a server that listens at a Unix socket only.
    ///
    /// IPv4 and IPv6 are apart: `::/0` holds no IPv4 address, and an IPv4 address that is written as
    /// IPv6 (`::ffff:192.0.2.7`) is IPv4.
    ///
    /// # Errors
    /// The first text that is none.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, NetworkError> {
        let mut proxies = Self::default();
        for text in networks {
            match text {
                UNIX => proxies.unix = true,
                _ => proxies.networks.push(text.parse()?),
            }
        }
        Ok(proxies)
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether this peer is one of them; `None` is one at a Unix socket.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |address| self.contains(address))
    }

    /// The address of the client: the nearest one that is no trusted proxy. `None` is the peer at a Unix socket where it
    /// is not trusted, or says nothing that is an address.
    ///
    /// That is the peer if it is not trusted, whatever it writes. Else the header's elements are read
    /// from the last to the first, those of several lines in the order of the lines, and the first
    /// address that is not trusted is the client. What is no address (`unknown`, a name, a broken
    /// element) ends the search, and so does the beginning of the list: then it is the address that
    /// was believed last, a proxy's own, so that nobody gets out of a limit by a broken header. Empty
    /// elements are left out (RFC 9110 5.6.1.2); after 32 elements the search ends, too.
    ///
    /// An IPv4 address that is written as IPv6 comes out as IPv4. A port is allowed and not kept.
    ///
    /// Cost: one pass over the elements that are looked at; no allocation. Source: RFC 7239 4, 6, 8.1.
    #[must_use]
    pub fn client_address(
        &self,
        header: ForwardedHeader,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Option<IpAddr> {
        let mut client = peer.map(|address| address.to_canonical());
        if !self.trusts(client) {
            return client;
        }
        let lines = headers.get_all(header.name()).iter().rev();
        let elements = lines.flat_map(|line| Backward { rest: Some(line.as_bytes()), by: b',' });
        for element in elements.take(HOPS_MAX).map(trim).filter(|element| !element.is_empty()) {
            let Some(address) = header.parse(element) else {
                return client;
            };
            client = Some(address);
            if !self.contains(address) {
                return client;
            }
        }
        client
    }
}

impl Network {
    /// Whether an address, which is no IPv4 address written as IPv6, is in it.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(address)) => {
                (own.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(own), IpAddr::V6(address)) => {
                (own.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix_bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let bits = if written.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits,
            Some(digits) => parse_number(digits.as_bytes(), bits).ok_or(NetworkError::Prefix)?,
        };
        let address = written.to_canonical();
        // The first 96 bits of an IPv4 address that is written as IPv6 are not its own.
        let prefix_bits = match written.is_ipv6() && address.is_ipv4() {
            true => prefix_bits.checked_sub(96).ok_or(NetworkError::HostBits)?,
            false => prefix_bits,
        };
        let host_bits = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        if host_bits.checked_shl(prefix_bits).unwrap_or(0) != 0 {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { address, prefix_bits })
    }
}

/// The parts of a text between the bytes `by` that are in no quoted string, from the last to the first.
///
/// Read from behind, what stands further left cannot change where a part begins: a client may leave
/// its quotes open, and the proxies' elements behind them are read all the same.
struct Backward<'a> {
    /// `None` after the first part.
    rest: Option<&'a [u8]>,
    by: u8,
}

impl<'a> Iterator for Backward<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut is_quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            if *byte == b'"' && !(is_quoted && is_escaped(&rest[..at])) {
                is_quoted = !is_quoted;
            } else if *byte == self.by && !is_quoted {
                self.rest = Some(&rest[..at]);
                return Some(&rest[at + 1..]);
            }
        }
        self.rest = None;
        Some(rest)
    }
}

/// Whether what follows is a quoted pair: an odd number of backslashes stands before it.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The `for` of one element of `Forwarded`; `None` if it has none, two, or what is no address.
///
/// More is taken than RFC 7239 4 writes: white space around pairs, and addresses that should be quoted
/// and are not. A trusted proxy wrote it, and there is only one way to read it.
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in (Backward { rest: Some(element), by: b';' }).map(trim) {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            if pair.is_empty() {
                continue;
            }
            return None;
        };
        let (name, value) = (trim(&pair[..at]), trim(&pair[at + 1..]));
        if name.eq_ignore_ascii_case(b"for") && found.replace(parse_value(value)?).is_some() {
            return None;
        }
    }
    found
}

/// A token, or a quoted string.
fn parse_value(value: &[u8]) -> Option<IpAddr> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return parse_node(value);
    };
    let quoted = quoted.strip_suffix(b"\"")?;
    let mut node = [0; NODE_BYTES_MAX];
    let mut len = 0;
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        *node.get_mut(len)? = match byte {
            b'\\' => *bytes.next()?,
            b'"' => return None,
            byte => *byte,
        };
        len += 1;
    }
    parse_node(&node[..len])
}

/// An address, with a port or not; IPv6 in brackets or, without a port, bare. Source: RFC 7239 6.
fn parse_node(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || is_node_port(port.strip_prefix(':')?);
        let address: Ipv6Addr = address.parse().ok()?;
        return is_port.then(|| IpAddr::V6(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_node_port(port).then_some(IpAddr::V4(address))
}

/// One to five digits, or an obfuscated name.
fn is_node_port(port: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_name),
        None => parse_number(port.as_bytes(), u32::from(u16::MAX)).is_some(),
    }
}

/// One to five digits that mean at most so much.
fn parse_number(digits: &[u8], max: u32) -> Option<u32> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    (number <= max).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_as_they_are_written() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "ffff::1", "1.2.3.4"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
        ] {
            let proxies = TrustedProxies::parse([text]).unwrap();
            assert!(proxies.contains(ip(inside)), "{text}");
            assert!(!proxies.contains(ip(outside)), "{text}");
        }
        assert!(!TrustedProxies::default().contains(ip("127.0.0.1")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let of = |error, texts: &str| {
            for text in texts.split('|') {
                assert_eq!(TrustedProxies::parse(["10.0.0.0/8", text]), Err(error), "{text}");
            }
        };
        of(
            NetworkError::Address,
            "|/8|localhost|10.0.0|10.0.0.0.0/8|[::1]|010.0.0.1| 10.0.0.1|::1%1",
        );
        of(
            NetworkError::Prefix,
            "1.2.3.4/|1.2.3.4/33|::/129|::/-1|::/+1|::/0x8|::/8/8|::/99999999999",
        );
        of(
            NetworkError::HostBits,
            "10.0.0.1/8|0.0.0.1/0|fd00::1/8|::ffff:10.0.0.0/95|::ffff:0:0/90",
        );
    }

    #[test]
    fn rfc_7239_s6_nodes() {
        for (node, address) in [
            ("192.0.2.43", "192.0.2.43"),
            ("192.0.2.43:47011", "192.0.2.43"),
            ("192.0.2.43:_obf.port-1", "192.0.2.43"),
            ("[2001:db8:cafe::17]", "2001:db8:cafe::17"),
            ("[2001:db8:cafe::17]:4711", "2001:db8:cafe::17"),
            ("2001:db8::17", "2001:db8::17"),
            ("::ffff:192.0.2.43", "192.0.2.43"),
            ("[::ffff:192.0.2.43]:80", "192.0.2.43"),
        ] {
            assert_eq!(parse_node(node.as_bytes()), Some(ip(address)), "{node}");
        }
        let bad = "|unknown|_gazonk|localhost|192.0.2.43:|192.0.2.43:65536|192.0.2.43:_|192.0.2.43:+1|\
            192.0.2.043|192.0.2|[192.0.2.43]|[::1|::1]|[::1]80|[::1]:|[::1%eth0]|1.2.3.4:80:80|\
            1.2.3.4:000080|\"1.2.3.4\"|1.2.3.4 |\u{e9}";
        for node in bad.split('|') {
            assert_eq!(parse_node(node.as_bytes()), None, "{node}");
        }
        assert_eq!(parse_node(&[b'1'; 10_000]), None);
    }

    #[test]
    fn rfc_7239_s4_elements() {
        for element in [
            "for=192.0.2.43",
            "For=192.0.2.43",
            "proto=http;by=203.0.113.43;for=192.0.2.43",
            "for=\"192.0.2.43\"; proto=https",
            "for=\"192.0.2.43:80\";host=\"a;b,for=1.1.1.1\"",
            "by=\"\\\"\";for=\"\\1\\92.0.2.43\"",
            ";for=192.0.2.43;;",
            "for = 192.0.2.43:80",
        ] {
            assert_eq!(parse_element(element.as_bytes()), Some(ip("192.0.2.43")), "{element}");
        }
        let bad = "for=|for|for=unknown|for=\"_hidden\"|proto=https|for=1.2.3.4;for=1.2.3.4|for=\"1.2.3.4|\
            for=1.2.3.4\"|for=\"1.2.3.4\\\"|for=\"1.2.3.4\"x|for=\"1.2.3.4\"\"|for=1.2.3.4;x|1.2.3.4|\
            fors=1.2.3.4|for==1.2.3.4|for=\"\"";
        for element in bad.split('|') {
            assert_eq!(parse_element(element.as_bytes()), None, "{element}");
        }
        let long = format!("for=\"{}\"", "1".repeat(10_000));
        assert_eq!(parse_element(long.as_bytes()), None);
    }

    #[test]
    fn parts_are_found_from_behind() {
        let parts = |text: &str| {
            let parts = Backward { rest: Some(text.as_bytes()), by: b',' };
            parts.map(|part| String::from_utf8(part.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(parts(""), [""]);
        assert_eq!(parts("a,b,,c"), ["c", "", "b", "a"]);
        assert_eq!(parts("a,\"b,c\",d"), ["d", "\"b,c\"", "a"]);
        assert_eq!(parts("a,\"b\\\",c\",d"), ["d", "\"b\\\",c\"", "a"]);
        assert_eq!(parts("a,\"b\\\\\",d"), ["d", "\"b\\\\\"", "a"]);
        assert_eq!(parts("\"a,b"), ["b", "\"a"]);
        assert_eq!(parts("a,b\""), ["a,b\""]);
    }

    proptest! {
        #[test]
        fn round_trip_of_networks(address: u128, bits in 0u32..=128, is_ipv4: bool) {
            let (address, bits) = match is_ipv4 {
                true => {
                    let bits = bits % 33;
                    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                    (IpAddr::V4(Ipv4Addr::from_bits(address as u32 & mask)), bits)
                }
                false => {
                    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                    (IpAddr::V6(Ipv6Addr::from_bits(address & mask)), bits)
                }
            };
            prop_assume!(address.to_canonical() == address);
            let network: Network = format!("{address}/{bits}").parse().unwrap();
            prop_assert_eq!(network, Network { address, prefix_bits: bits });
        }

        #[test]
        fn arbitrary_bytes_never_panic(line: Vec<u8>, network: String, is_forwarded: bool) {
            let _ = network.parse::<Network>();
            let _ = (parse_element(&line), parse_node(&line));
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            let proxies = TrustedProxies::parse(["0.0.0.0/0", "::/0"]).unwrap();
            let header = match is_forwarded {
                true => ForwardedHeader::Forwarded,
                false => ForwardedHeader::XForwardedFor,
            };
            let mut headers = HeaderMap::new();
            headers.append(header.name(), value);
            let _ = proxies.client_address(header, &headers, Some(ip("10.0.0.1")));
        }
    }
}
