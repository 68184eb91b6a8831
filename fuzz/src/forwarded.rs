//! The client behind proxies: what it writes itself does not change who it is.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use sockeye::handshake::{ForwardedHeader, TrustedProxies};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// The bytes are what a client writes, a line of a header; a byte at the beginning says how its proxies
/// go on.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        network(text);
    }
    let Some((&form, forged)) = data.split_first() else {
        return;
    };
    let proxies = TrustedProxies::parse(["10.0.0.0/8"]).expect("a network");
    let all = TrustedProxies::parse(["0.0.0.0/0", "::/0"]).expect("networks");
    for (header, name, added) in [
        (ForwardedHeader::XForwardedFor, "x-forwarded-for", "203.0.113.9, 10.0.0.2"),
        (
            ForwardedHeader::Forwarded,
            "forwarded",
            "for=\"203.0.113.9:80\";host=\"a\\\"b,c\", for=10.0.0.2",
        ),
    ] {
        let mut headers = HeaderMap::new();
        let Ok(value) = HeaderValue::from_bytes(forged) else {
            return;
        };
        headers.append(name, value.clone());
        // Alone it is anything; that it is believed at all is the network's doing.
        let believed = all.client_address(header, &headers, Some(PEER)).unwrap();
        assert_eq!(believed, believed.to_canonical());
        let peer = Some(PEER);
        assert_eq!(TrustedProxies::default().client_address(header, &headers, peer), peer);
        if form & 1 == 0 {
            headers.append(name, HeaderValue::from_static(added));
        } else {
            let line = [forged, b",", added.as_bytes()].concat();
            headers.insert(name, HeaderValue::from_bytes(&line).expect("both are values"));
        }
        let client = proxies.client_address(header, &headers, peer);
        assert_eq!(client, Some(IpAddr::from([203, 0, 113, 9])), "{headers:?}");
    }
}

/// What is read as a network holds its own first address and nothing of the other family.
fn network(text: &str) {
    let Ok(proxies) = TrustedProxies::parse([text]) else {
        return;
    };
    if proxies.trusts(None) {
        assert_eq!(text, "unix:");
        return;
    }
    let address = text.split('/').next().expect("a first part");
    let address: IpAddr = address.parse().expect("it was read");
    assert!(proxies.contains(address));
    let other: IpAddr = match address.to_canonical() {
        IpAddr::V4(_) => "2001:db8::1".parse().expect("an address"),
        IpAddr::V6(_) => IpAddr::from([192, 0, 2, 1]),
    };
    assert!(!proxies.contains(other));
}
