//! Who the client is behind proxies, through the public API: `X-Forwarded-For` and `Forwarded`, and the
//! PROXY protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use sockeye::handshake::{
    ForwardedHeader, ProxyHeader, ProxyHeaderReader, ProxyProtocolError, TrustedProxies,
};

const HEADERS: [(ForwardedHeader, &str); 2] = [
    (ForwardedHeader::XForwardedFor, "x-forwarded-for"),
    (ForwardedHeader::Forwarded, "forwarded"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap()
}

/// A `|` parts the lines of the header.
fn client(header: ForwardedHeader, lines: &str, peer: &str) -> IpAddr {
    let mut headers = HeaderMap::new();
    let name = HEADERS.iter().find(|(known, _)| *known == header).unwrap().1;
    for line in lines.split('|') {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    proxies().client_address(header, &headers, Some(ip(peer))).unwrap()
}

/// A10: whoever is no trusted proxy writes what it likes and stays who it is.
#[test]
fn a_peer_that_is_not_trusted_is_the_client() {
    let peer = "203.0.113.9";
    for number in 0..300 {
        let forged = format!("198.51.100.{}", number % 256);
        let found = client(ForwardedHeader::XForwardedFor, &forged, peer);
        assert_eq!(found, ip(peer));
        let found = client(ForwardedHeader::Forwarded, &format!("for={forged}"), peer);
        assert_eq!(found, ip(peer));
    }
    let nobody = TrustedProxies::default();
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
    let peer = Some(ip("10.0.0.1"));
    assert_eq!(nobody.client_address(ForwardedHeader::XForwardedFor, &headers, peer), peer);
}

/// A11: from the right to the first that is not trusted; what is malformed ends the search at the proxy
/// that was believed last.
#[test]
fn chains_are_read_from_the_right() {
    for (lines, expected) in [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("6.6.6.6|203.0.113.9|10.0.0.2,\t10.0.0.3", "203.0.113.9"),
        ("203.0.113.9:4711, [fd00::1]:80", "203.0.113.9"),
        ("2001:db8::1, ::ffff:10.0.0.2", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9,, ,", "203.0.113.9"),
        ("203.0.113.9||", "203.0.113.9"),
        ("10.0.0.4, 10.0.0.3", "10.0.0.4"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("6.6.6.6, 203.0.113.999", "10.0.0.1"),
        ("6.6.6.6, <script>, 10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("6.6.6.6 203.0.113.9", "10.0.0.1"),
        ("\"203.0.113.9\"", "10.0.0.1"),
    ] {
        let found = client(ForwardedHeader::XForwardedFor, lines, "10.0.0.1");
        assert_eq!(found, ip(expected), "{lines}");
        let found = client(ForwardedHeader::XForwardedFor, lines, "::ffff:10.0.0.1");
        assert_eq!(found, ip(expected), "{lines}");
    }
}

/// A11: the same for RFC 7239, with quotes, ports and other parameters.
#[test]
fn rfc_7239_chains_are_read_from_the_right() {
    for (lines, expected) in [
        ("for=203.0.113.9", "203.0.113.9"),
        ("for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=x", "198.51.100.17"),
        (
            "for=6.6.6.6, For=\"[2001:db8:cafe::17]:4711\" , for=10.0.0.2;proto=https",
            "2001:db8:cafe::17",
        ),
        ("for=6.6.6.6|for=203.0.113.9|for=\"10.0.0.2:80\"", "203.0.113.9"),
        ("for=6.6.6.6, for=203.0.113.9;host=\"a, for=7.7.7.7\"", "203.0.113.9"),
        ("for=\"6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ("for=\"6.6.6.6\\\", for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        ("for=6.6.6.6, for=unknown, for=10.0.0.2", "10.0.0.2"),
        ("for=6.6.6.6, for=\"_hidden\"", "10.0.0.1"),
        ("for=6.6.6.6, proto=https", "10.0.0.1"),
        ("for=6.6.6.6, for=7.7.7.7;for=8.8.8.8", "10.0.0.1"),
        ("203.0.113.9", "10.0.0.1"),
    ] {
        let found = client(ForwardedHeader::Forwarded, lines, "10.0.0.1");
        assert_eq!(found, ip(expected), "{lines}");
    }
}

/// Only the header that the proxies write is believed, for they hand the other one on.
#[test]
fn the_other_header_says_nothing() {
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
    headers.insert("forwarded", HeaderValue::from_static("for=2.2.2.2"));
    let proxy = Some(ip("10.0.0.1"));
    let client = |header| proxies().client_address(header, &headers, proxy);
    assert_eq!(client(ForwardedHeader::XForwardedFor), Some(ip("1.1.1.1")));
    assert_eq!(client(ForwardedHeader::Forwarded), Some(ip("2.2.2.2")));
    headers.remove("forwarded");
    assert_eq!(proxies().client_address(ForwardedHeader::Forwarded, &headers, proxy), proxy);
}

/// A10: a peer without an address, as at a Unix socket, is believed where it is named, and alone.
#[test]
fn a_peer_at_a_unix_socket() {
    let header = ForwardedHeader::XForwardedFor;
    let client = |proxies: &TrustedProxies, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static(value));
        proxies.client_address(header, &headers, None)
    };
    let unix = TrustedProxies::parse(["unix:", "10.0.0.0/8"]).unwrap();
    assert!(unix.trusts(None) && !proxies().trusts(None));
    assert_eq!(client(&proxies(), "203.0.113.9"), None);
    assert_eq!(client(&unix, "6.6.6.6, 203.0.113.9, 10.0.0.2"), Some(ip("203.0.113.9")));
    assert_eq!(client(&unix, "203.0.113.9, unknown"), None);
    assert_eq!(client(&unix, ""), None);
    let only = TrustedProxies::parse(["unix:"]).unwrap();
    assert_eq!(client(&only, "203.0.113.9, 10.0.0.2"), Some(ip("10.0.0.2")));
    assert!(TrustedProxies::parse(["unix"]).is_err());
}

/// However long the chain, so many are looked at and no more.
#[test]
fn the_search_ends() {
    let chain = |len: usize| format!("203.0.113.9{}", ", 10.0.0.2".repeat(len));
    let found = |lines: &str| client(ForwardedHeader::XForwardedFor, lines, "10.0.0.1");
    assert_eq!(found(&chain(31)), ip("203.0.113.9"));
    assert_eq!(found(&chain(32)), ip("10.0.0.2"));
    assert_eq!(found(&chain(5000)), ip("10.0.0.2"));
    assert_eq!(found(&format!("203.0.113.9{}", ",".repeat(15_000))), ip("10.0.0.1"));
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()),
    ]
}

fn trusted() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits >> 8 | 10 << 24))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits >> 8 | 0xfd << 120))),
    ]
}

/// One element as a proxy writes it, in one of its forms.
fn element(header: ForwardedHeader, address: IpAddr, form: u8) -> String {
    let port = if form & 1 == 0 { "" } else { ":4711" };
    let node = match address {
        IpAddr::V4(address) => format!("{address}{port}"),
        IpAddr::V6(address) => format!("[{address}]{port}"),
    };
    match (header, form & 6) {
        (ForwardedHeader::XForwardedFor, _) => node,
        (_, 0) => format!("for=\"{node}\""),
        (_, 2) => format!("proto=https;For=\"{node}\""),
        (_, 4) => format!("host=\"a\\\"b,c\";for=\"{node}\"; by=unknown"),
        _ => format!("by=\"_x\\\\\";for=\"{node}\""),
    }
}

proptest! {
    /// A10, A11: whatever a client writes, quotes and all, the proxies behind it are read the same.
    #[test]
    fn nothing_a_client_writes_changes_who_it_is(
        forged in prop::collection::vec("[ -~\t]{0,40}", 0..3),
        noise in "[ -~\t\u{80}-\u{ff}]{0,60}",
        client_ip in address(),
        hops in prop::collection::vec((trusted(), any::<u8>(), any::<bool>()), 0..6),
        form: u8,
    ) {
        prop_assume!(!proxies().contains(client_ip));
        for (header, name) in HEADERS {
            let mut lines = forged.clone();
            lines.push(format!("{noise},{}", element(header, client_ip, form)));
            for (hop, form, is_own_line) in &hops {
                let element = element(header, *hop, *form);
                match lines.last_mut() {
                    Some(line) if !is_own_line => *line = format!("{line}, {element}"),
                    _ => lines.push(element),
                }
            }
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            let found = proxies().client_address(header, &headers, Some(ip("10.0.0.1")));
            prop_assert_eq!(found, Some(client_ip), "{:?}", lines);
        }
    }
}

fn read(bytes: &[u8], cut: usize) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
    let mut reader = ProxyHeaderReader::new();
    let (first, second) = bytes.split_at(cut);
    if let Some(found) = reader.receive(first)? {
        assert_eq!(reader.receive(second), Ok(Some((found.0, 0))), "and it stays");
        return Ok(Some(found));
    }
    Ok(reader.receive(second)?.map(|(header, len)| (header, cut + len)))
}

/// Byte by byte; the first error or header, and the bytes that were taken until then.
fn read_slowly(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
    let mut reader = ProxyHeaderReader::new();
    for (at, byte) in bytes.iter().enumerate() {
        match reader.receive(std::slice::from_ref(byte)) {
            Ok(None) => {}
            Ok(Some((header, len))) => return Ok(Some((header, at + len))),
            Err(error) => {
                assert_eq!(reader.receive(b"PROXY UNKNOWN\r\n"), Err(error), "it stays refused");
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// A12: no header at all, such as a plain request, is told at its first bytes.
#[test]
fn who_must_send_a_header_and_does_not_is_found_out() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"POST", b"\r\n\r\n\r\n"] {
        assert_eq!(read(bytes, 1), Err(ProxyProtocolError::Absent));
        assert_eq!(read_slowly(bytes), Err(ProxyProtocolError::Absent));
    }
}

/// A12: both versions have their limit, also one byte at a time, and nothing is waited for beyond it.
#[test]
fn headers_have_their_limits() {
    let line = [&b"PROXY UNKNOWN "[..], &[b'x'; 1000]].concat();
    assert_eq!(read(&line, 0), Err(ProxyProtocolError::TooLong { limit_bytes: 107 }));
    assert_eq!(read_slowly(&line[..107]), Err(ProxyProtocolError::TooLong { limit_bytes: 107 }));
    assert_eq!(read_slowly(&line[..106]), Ok(None));
    let header = [&b"\r\n\r\n\0\r\nQUIT\n\x20\x00"[..], &[0xff; 4000]].concat();
    assert_eq!(read(&header, 14), Err(ProxyProtocolError::TooLong { limit_bytes: 536 }));
    assert_eq!(read_slowly(&header[..16]), Err(ProxyProtocolError::TooLong { limit_bytes: 536 }));
    let longest = [&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x02\x08"[..], &[0; 520]].concat();
    assert_eq!(longest.len(), 536);
    assert_eq!(read_slowly(&longest), Ok(Some((ProxyHeader::Local, 536))));
}

fn header() -> impl Strategy<Value = ProxyHeader> {
    let v4 = || any::<(u32, u16)>().prop_map(|(ip, port)| (Ipv4Addr::from_bits(ip), port).into());
    let v6 = || any::<(u128, u16)>().prop_map(|(ip, port)| (Ipv6Addr::from_bits(ip), port).into());
    let proxied = |(source, destination): (SocketAddr, SocketAddr)| ProxyHeader::Proxied {
        source,
        destination,
    };
    prop_oneof![
        Just(ProxyHeader::Local),
        Just(ProxyHeader::Unknown),
        (v4(), v4()).prop_map(proxied),
        (v6(), v6()).prop_map(proxied),
    ]
}

proptest! {
    /// Round trip of both versions, at every cut, with a client's bytes behind.
    #[test]
    fn headers_come_back_at_every_cut(header in header(), is_v2: bool, behind: Vec<u8>) {
        let mut bytes = Vec::new();
        match is_v2 {
            true => header.encode_v2(&mut bytes),
            false => header.encode_v1(&mut bytes),
        }
        let len = bytes.len();
        bytes.extend(&behind);
        // Version 1 has no word for it.
        let is_local_line = header == ProxyHeader::Local && !is_v2;
        let expected = if is_local_line { ProxyHeader::Unknown } else { header };
        for cut in 0..=bytes.len() {
            prop_assert_eq!(read(&bytes, cut), Ok(Some((expected, len))));
        }
        prop_assert_eq!(read_slowly(&bytes), Ok(Some((expected, len))));
        for cut in 0..len {
            prop_assert_eq!(read_slowly(&bytes[..cut]), Ok(None));
        }
    }

    /// Arbitrary bytes never panic, and say the same at every cut.
    #[test]
    fn arbitrary_bytes_say_the_same_at_every_cut(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP6 ::1 ", b"\r\n\r\n\0\r\nQUIT\n"]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, &bytes].concat();
        let slow = read_slowly(&bytes);
        for cut in 0..=bytes.len() {
            prop_assert_eq!(read(&bytes, cut), slow);
        }
    }
}
