//! What a load balancer writes before the first byte of a client: the PROXY protocol, versions 1 and 2.
//!
//! It is no part of HTTP: it stands before it on the stream, and whoever reads it must know that it
//! comes, for anybody could write it. So it is read from trusted peers only, and required there.
//!
//! ```text
//!  1   PROXY TCP4 203.0.113.9 192.0.2.1 56324 443 CRLF                at most 107 bytes
//!  2   signature (12) | version, command | family | length (2) | addresses | TLVs ...
//!      \___________________ 16 bytes __________________________/ \__ length bytes __/
//! ```
//!
//! Source: HAProxy's `proxy-protocol.txt`, 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, in bytes with its CRLF. Source: 2.1.
const LINE_BYTES_MAX: usize = 107;

/// The longest header of version 2, in bytes: the smallest segment every path carries, less the IP and
/// TCP headers, so a header comes in one piece. Source: 2.
const HEADER_BYTES_MAX: usize = 536;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands before the addresses of version 2.
const FIXED_BYTES: usize = 16;

/// What a PROXY header says of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyHeader {
    /// It is made for a client.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
    /// The proxy speaks for itself, to see whether we live: the peer is the client. Source: 2.2.
    Local,
    /// It is made for a client whose address cannot be told (`UNKNOWN`, no family, a Unix socket): the
    /// peer is all that is known. Source: 2.1, 2.2.
    Unknown,
}

/// Why bytes are no PROXY header. The connection is closed without an answer: there is no protocol yet
/// to answer in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyProtocolError {
    /// The first bytes begin no header of either version.
    #[error("no PROXY header")]
    Absent,
    /// It has no end within the limit.
    #[error("PROXY header of more than {limit_bytes} bytes")]
    TooLong {
        /// 107 for version 1, 536 for version 2.
        limit_bytes: usize,
    },
    /// It breaks its grammar; the text names the rule.
    #[error("malformed PROXY header: {0}")]
    Malformed(&'static str),
}

/// Gathers one header from pieces of any size.
///
/// Memory: at most 536 bytes, and none before the first. An error shows as soon as the bytes so far
/// begin no header, and every later call repeats it. A deadline is the caller's business.
///
/// ```
/// use sockeye::handshake::{ProxyHeader, ProxyHeaderReader};
///
/// let mut reader = ProxyHeaderReader::new();
/// assert_eq!(reader.receive(b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 4")?, None);
/// let Some((header, len)) = reader.receive(b"43\r\nGET / HTTP/1.1")? else { panic!() };
/// assert_eq!(len, 4);
/// let ProxyHeader::Proxied { source, .. } = header else { panic!() };
/// assert_eq!(source.to_string(), "203.0.113.9:56324");
/// # Ok::<(), sockeye::handshake::ProxyProtocolError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ProxyHeaderReader {
    /// `buffer.len() <= HEADER_BYTES_MAX`; what is in it is no whole header.
    buffer: Vec<u8>,
    verdict: Option<Result<ProxyHeader, ProxyProtocolError>>,
}

impl ProxyHeaderReader {
    /// A reader that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes up to the end of the header.
    ///
    /// `Ok(None)`: all were taken and more are needed. `Ok(Some((header, n)))`: the header is complete
    /// and its last byte was `bytes[n - 1]`; `bytes[n..]` were not touched, they are the client's. On a
    /// complete header it takes nothing and repeats it with zero.
    ///
    /// # Errors
    /// When it is none, too long or malformed.
    ///
    /// Cost: one copy of the bytes taken. Source: 2.1, 2.2.
    pub fn receive(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
        if let Some(verdict) = self.verdict {
            return verdict.map(|header| Some((header, 0)));
        }
        let held = self.buffer.len();
        // A byte more than the longest header is never needed to judge it.
        let taken = bytes.len().min(HEADER_BYTES_MAX - held);
        self.buffer.extend_from_slice(&bytes[..taken]);
        let verdict = match parse(&self.buffer) {
            Ok(None) => return Ok(None),
            Ok(Some((header, len))) => Ok((header, len - held)),
            Err(error) => Err(error),
        };
        self.buffer = Vec::new();
        self.verdict = Some(verdict.map(|(header, _)| header));
        verdict.map(Some)
    }
}

impl ProxyHeader {
    /// Writes it as version 1, at most 107 bytes. [`Local`](Self::Local) is `UNKNOWN` there. Addresses of
    /// two families are both written as IPv6.
    ///
    /// Source: 2.1.
    pub fn encode_v1(&self, out: &mut Vec<u8>) {
        let line = match self.pair() {
            None => "PROXY UNKNOWN\r\n".to_owned(),
            Some((source, destination)) => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                let (source, destination) = (source.port(), destination.port());
                format!("PROXY {family} {from} {to} {source} {destination}\r\n")
            }
        };
        out.extend_from_slice(line.as_bytes());
    }

    /// Writes it as version 2, at most 52 bytes, without TLVs. Addresses of two families are both
    /// written as IPv6.
    ///
    /// Source: 2.2.
    pub fn encode_v2(&self, out: &mut Vec<u8>) {
        let mut addresses = Vec::new();
        let family = match self.pair() {
            None => 0x00,
            Some((source, destination)) => {
                push_address(&mut addresses, source.ip());
                push_address(&mut addresses, destination.ip());
                addresses.extend(source.port().to_be_bytes());
                addresses.extend(destination.port().to_be_bytes());
                if source.is_ipv4() { 0x11 } else { 0x21 }
            }
        };
        let command = if *self == Self::Local { 0x20 } else { 0x21 };
        out.extend_from_slice(SIGNATURE);
        // Two addresses of 16 bytes and two ports of 2: the length fits one byte.
        out.extend([command, family, 0, addresses.len() as u8]);
        out.extend(addresses);
    }

    /// Source and destination, in one family.
    fn pair(&self) -> Option<(SocketAddr, SocketAddr)> {
        let Self::Proxied { source, destination } = *self else { return None };
        if source.is_ipv4() == destination.is_ipv4() {
            return Some((source, destination));
        }
        let widened = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => SocketAddr::from((ip.to_ipv6_mapped(), address.port())),
            IpAddr::V6(_) => address,
        };
        Some((widened(source), widened(destination)))
    }
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => out.extend(address.octets()),
        IpAddr::V6(address) => out.extend(address.octets()),
    }
}

/// The header at the beginning and its length; `None` if more bytes are needed. What is said of some
/// bytes is said of them with more behind.
fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => parse_line(bytes),
        Some(_) => parse_binary(bytes),
    }
}

/// Whether the bytes begin as they must; false if they are too few to say.
fn begins_with(bytes: &[u8], start: &[u8]) -> Result<bool, ProxyProtocolError> {
    let len = bytes.len().min(start.len());
    match bytes[..len] == start[..len] {
        true => Ok(len == start.len()),
        false => Err(ProxyProtocolError::Absent),
    }
}

/// Version 1. Source: 2.1.
fn parse_line(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
    if !begins_with(bytes, LINE_START)? {
        return Ok(None);
    }
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return match within.len() < LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(ProxyProtocolError::TooLong { limit_bytes: LINE_BYTES_MAX }),
        };
    };
    let Some(line) = within[LINE_START.len()..end].strip_suffix(b"\r") else {
        return Err(ProxyProtocolError::Malformed("a line ends with CRLF"));
    };
    Ok(Some((parse_fields(line)?, end + 1)))
}

/// What stands between `PROXY ` and the CRLF.
fn parse_fields(line: &[u8]) -> Result<ProxyHeader, ProxyProtocolError> {
    if line.contains(&b'\r') {
        return Err(ProxyProtocolError::Malformed("a CR without LF"));
    }
    let mut fields = line.split(|byte| *byte == b' ');
    let (parse_address, rest): (fn(&str) -> Option<IpAddr>, _) = match fields.next() {
        Some(b"UNKNOWN") => return Ok(ProxyHeader::Unknown),
        Some(b"TCP4") => (|text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4), fields),
        Some(b"TCP6") => (|text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6), fields),
        _ => return Err(ProxyProtocolError::Malformed("the family is TCP4, TCP6 or UNKNOWN")),
    };
    let rest: Option<Vec<&str>> = rest.map(|field| std::str::from_utf8(field).ok()).collect();
    let Some([source, destination, source_port, destination_port]) = rest.as_deref() else {
        return Err(ProxyProtocolError::Malformed("two addresses and two ports are required"));
    };
    let at = |address: &str, port: &str| {
        let address = parse_address(address)
            .ok_or(ProxyProtocolError::Malformed("an address is none of its family"))?;
        let port = parse_port(port).ok_or(ProxyProtocolError::Malformed("a port is no number"))?;
        Ok(SocketAddr::from((address, port)))
    };
    Ok(ProxyHeader::Proxied {
        source: at(source, source_port)?,
        destination: at(destination, destination_port)?,
    })
}

/// 0 to 65535, without zeros before it.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    (is_plain && !has_zeros).then(|| text.parse().ok())?
}

/// Version 2. Source: 2.2.
fn parse_binary(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
    if !begins_with(bytes, SIGNATURE)? {
        return Ok(None);
    }
    let [command, family, length @ ..] = &bytes[SIGNATURE.len()..] else {
        return Ok(None);
    };
    let [high, low, rest @ ..] = length else {
        return Ok(None);
    };
    if command >> 4 != 2 {
        return Err(ProxyProtocolError::Malformed("the version is 2"));
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if FIXED_BYTES + len > HEADER_BYTES_MAX {
        return Err(ProxyProtocolError::TooLong { limit_bytes: HEADER_BYTES_MAX });
    }
    let Some(body) = rest.get(..len) else {
        return Ok(None);
    };
    let header = match command & 0x0f {
        // Whatever stands there: the family is ignored. Source: 2.2.
        0 => ProxyHeader::Local,
        1 => parse_addresses(*family, body)?,
        _ => return Err(ProxyProtocolError::Malformed("the command is LOCAL or PROXY")),
    };
    Ok(Some((header, FIXED_BYTES + len)))
}

/// The addresses at the beginning of the body. What follows them, the TLVs, is not looked at.
fn parse_addresses(family: u8, body: &[u8]) -> Result<ProxyHeader, ProxyProtocolError> {
    const SHORT: ProxyProtocolError =
        ProxyProtocolError::Malformed("the length is less than that of its addresses");
    let (family, transport) = (family >> 4, family & 0x0f);
    if transport > 2 {
        return Err(ProxyProtocolError::Malformed("an unknown transport"));
    }
    let pair = match family {
        0 => None,
        1 => Some(parse_pair::<4, Ipv4Addr>(body).ok_or(SHORT)?),
        2 => Some(parse_pair::<16, Ipv6Addr>(body).ok_or(SHORT)?),
        3 if body.len() < 2 * 108 => return Err(SHORT),
        3 => None,
        _ => return Err(ProxyProtocolError::Malformed("an unknown family")),
    };
    // Without a transport the addresses are not to be relied on. Source: 2.2.
    match pair {
        Some((source, destination)) if transport != 0 => {
            Ok(ProxyHeader::Proxied { source, destination })
        }
        _ => Ok(ProxyHeader::Unknown),
    }
}

/// Two addresses and two ports, in network byte order.
fn parse_pair<const LEN: usize, A>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    A: From<[u8; LEN]>,
    IpAddr: From<A>,
{
    let (source, rest) = body.split_first_chunk::<LEN>()?;
    let (destination, rest) = rest.split_first_chunk::<LEN>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    let at = |address: &[u8; LEN], port: &[u8; 2]| {
        SocketAddr::from((IpAddr::from(A::from(*address)), u16::from_be_bytes(*port)))
    };
    Some((at(source, source_port), at(destination, destination_port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proxied(source: &str, destination: &str) -> ProxyHeader {
        let at = |text: &str| text.parse().unwrap();
        ProxyHeader::Proxied { source: at(source), destination: at(destination) }
    }

    /// A header of version 2 with these two bytes and this body.
    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn malformed(bytes: &[u8]) -> bool {
        matches!(parse(bytes), Err(ProxyProtocolError::Malformed(_)))
    }

    #[test]
    fn s2_1_lines() {
        for (line, header) in [
            (
                "TCP4 192.168.0.1 192.168.0.11 56324 443",
                proxied("192.168.0.1:56324", "192.168.0.11:443"),
            ),
            ("TCP4 255.255.255.255 0.0.0.0 0 65535", proxied("255.255.255.255:0", "0.0.0.0:65535")),
            ("TCP6 2001:db8::1 ::1 1 2", proxied("[2001:db8::1]:1", "[::1]:2")),
            ("UNKNOWN", ProxyHeader::Unknown),
            ("UNKNOWN ", ProxyHeader::Unknown),
            ("UNKNOWN whatever \u{e9} it is", ProxyHeader::Unknown),
        ] {
            let bytes = format!("PROXY {line}\r\nrest\n");
            assert_eq!(parse(bytes.as_bytes()), Ok(Some((header, line.len() + 8))), "{line}");
        }
    }

    #[test]
    fn s2_1_what_is_no_line_is_refused() {
        let bad = "|TCP|TCP4|tcp4 1.1.1.1 2.2.2.2 1 2|TCP5 1.1.1.1 2.2.2.2 1 2|TCP41.1.1.1 2.2.2.2 1 2|\
            TCP4  1.1.1.1 2.2.2.2 1 2|TCP4 1.1.1.1 2.2.2.2 1|TCP4 1.1.1.1 2.2.2.2 1 2 |TCP4 1.1.1.1 2.2.2.2 1 2 3|\
            TCP4 ::1 ::2 1 2|TCP6 1.1.1.1 2.2.2.2 1 2|TCP4 01.1.1.1 2.2.2.2 1 2|TCP4 1.1.1 2.2.2.2 1 2|\
            TCP4 1.1.1.1 2.2.2.2 01 2|TCP4 1.1.1.1 2.2.2.2 +1 2|TCP4 1.1.1.1 2.2.2.2 65536 2|\
            TCP4 1.1.1.1 2.2.2.2 1 -2|TCP4 1.1.1.1 2.2.2.2 1 00|TCP4 1.1.1.1\t2.2.2.2 1 2|\
            TCP6 [::1] ::2 1 2|TCP6 ::1%1 ::2 1 2|UNKNOWNS|UNIX a b 1 2|TCP4 1.1.1.1 2.2.2.2 1 2\r|UNKNOWN \rx";
        for line in bad.split('|') {
            assert!(malformed(format!("PROXY {line}\r\n").as_bytes()), "{line}");
        }
        assert!(malformed(b"PROXY UNKNOWN\n"), "a bare LF");
        assert!(
            malformed(b"PROXY TCP4 \xff 1.1.1.1 2.2.2.2 1 2\r\n"),
            "a field more that is no text"
        );
        for start in ["G", "PROXX", "PROXYTCP4", "proxy TCP4", "PROXY\t", "\r\n\r\n\r", " PROXY "] {
            assert_eq!(parse(start.as_bytes()), Err(ProxyProtocolError::Absent), "{start:?}");
        }
    }

    /// A12: 107 bytes with the CRLF are taken, and no more.
    #[test]
    fn s2_1_a_line_has_its_limit() {
        let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16)).into_bytes();
        assert_eq!(line(107).len(), 107);
        assert_eq!(parse(&line(107)), Ok(Some((ProxyHeader::Unknown, 107))));
        let too_long = Err(ProxyProtocolError::TooLong { limit_bytes: 107 });
        assert_eq!(parse(&line(108)), too_long);
        assert_eq!(parse(&line(108)[..107]), too_long);
        assert_eq!(parse(&line(108)[..106]), Ok(None));
    }

    #[test]
    fn s2_2_addresses() {
        let body = [192, 0, 2, 9, 192, 0, 2, 1, 0x12, 0x34, 0, 80];
        let header = proxied("192.0.2.9:4660", "192.0.2.1:80");
        for family in [0x11, 0x12] {
            assert_eq!(parse(&binary(0x21, family, &body)), Ok(Some((header, 28))));
        }
        let mut wide = [0; 36];
        (wide[0], wide[15], wide[31], wide[33], wide[35]) = (0xfd, 9, 1, 2, 3);
        let header = proxied("[fd00::9]:2", "[::1]:3");
        assert_eq!(parse(&binary(0x21, 0x21, &wide)), Ok(Some((header, 52))));
    }

    #[test]
    fn s2_2_1_what_follows_the_addresses_is_skipped() {
        let mut body = vec![1, 1, 1, 1, 2, 2, 2, 2, 0, 1, 0, 2];
        // A checksum, an unknown type, and one that is cut.
        body.extend([3, 0, 4, 1, 2, 3, 4, 0xe0, 0, 1, 7, 0x20, 0xff]);
        let header = proxied("1.1.1.1:1", "2.2.2.2:2");
        assert_eq!(parse(&binary(0x21, 0x11, &body)), Ok(Some((header, 16 + body.len()))));
    }

    #[test]
    fn s2_2_who_has_no_address_is_local_or_unknown() {
        for (command, family, len, header) in [
            (0x20, 0x00, 0, ProxyHeader::Local),
            (0x20, 0x11, 12, ProxyHeader::Local),
            (0x20, 0xff, 3, ProxyHeader::Local),
            (0x21, 0x00, 0, ProxyHeader::Unknown),
            (0x21, 0x00, 20, ProxyHeader::Unknown),
            (0x21, 0x01, 0, ProxyHeader::Unknown),
            (0x21, 0x10, 12, ProxyHeader::Unknown),
            (0x21, 0x31, 216, ProxyHeader::Unknown),
            (0x21, 0x32, 300, ProxyHeader::Unknown),
        ] {
            let bytes = binary(command, family, &vec![7; len]);
            assert_eq!(parse(&bytes), Ok(Some((header, 16 + len))), "{command:x} {family:x}");
        }
    }

    #[test]
    fn s2_2_what_is_no_header_is_refused() {
        for (command, family, len) in [
            (0x11, 0x11, 12),
            (0x31, 0x11, 12),
            (0x00, 0x00, 0),
            (0x22, 0x11, 12),
            (0x2f, 0x11, 12),
            (0x21, 0x13, 12),
            (0x21, 0x41, 12),
            (0x21, 0xf1, 12),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
            (0x21, 0x11, 0),
        ] {
            let bytes = binary(command, family, &vec![0; len]);
            assert!(malformed(&bytes), "{command:x} {family:x} {len}");
        }
    }

    /// A12: 536 bytes in all are taken, and no more; the length alone tells.
    #[test]
    fn s2_a_header_has_its_limit() {
        let bytes = binary(0x21, 0x11, &[1; 520]);
        assert_eq!(bytes.len(), 536);
        assert_eq!(parse(&bytes).map(|header| header.map(|(_, len)| len)), Ok(Some(536)));
        assert_eq!(parse(&bytes[..535]), Ok(None));
        let too_long = Err(ProxyProtocolError::TooLong { limit_bytes: 536 });
        assert_eq!(parse(&binary(0x20, 0, &[1; 521])[..16]), too_long);
        assert_eq!(parse(&binary(0x21, 0x11, &[1; 65_535])), too_long);
    }

    #[test]
    fn addresses_of_two_families_are_written_as_ipv6() {
        let header = proxied("192.0.2.9:1", "[::1]:2");
        let expected = proxied("[::ffff:192.0.2.9]:1", "[::1]:2");
        let mut out = Vec::new();
        header.encode_v1(&mut out);
        assert_eq!(parse(&out), Ok(Some((expected, out.len()))));
        out.clear();
        header.encode_v2(&mut out);
        assert_eq!(parse(&out), Ok(Some((expected, 52))));
    }

    proptest! {
        /// What is said of some bytes is said of them with more behind.
        #[test]
        fn a_verdict_stays(start in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let starts = [&b""[..], b"PROXY ", b"PROXY TCP4 1.1.1.1 ", SIGNATURE];
            let bytes = [starts[start], &bytes].concat();
            let whole = parse(&bytes);
            for cut in 0..bytes.len() {
                let part = parse(&bytes[..cut]);
                prop_assert!(part == Ok(None) || part == whole, "at {}: {:?}, {:?}", cut, part, whole);
            }
        }
    }
}
