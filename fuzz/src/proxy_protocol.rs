//! PROXY headers: the same verdict whatever the cuts, within the limits, and what is read is written
//! back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockeye::handshake::{ProxyHeader, ProxyHeaderReader, ProxyProtocolError};

use super::source::pieces;

/// One byte of cuts, then the front of a stream.
pub fn run(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else {
        return;
    };
    let verdict = read(bytes, 0);
    for seed in [1, seed] {
        assert_eq!(read(bytes, seed), verdict, "the cut changed the verdict");
    }
    match verdict {
        Ok(None) => assert!(bytes.len() < 536, "a header has its limit"),
        Ok(Some((header, len))) => {
            let is_line = bytes[0] == b'P';
            assert!(len <= if is_line { 107 } else { 536 });
            assert_eq!(is_line, bytes[..len].ends_with(b"\r\n") && bytes.starts_with(b"PROXY "));
            assert_written(header);
        }
        Err(ProxyProtocolError::Absent) => {
            assert!(!bytes.starts_with(b"PROXY ") && !bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
        }
        Err(_) => {}
    }
}

/// The header, and how many bytes it took in all.
fn read(bytes: &[u8], seed: u8) -> Result<Option<(ProxyHeader, usize)>, ProxyProtocolError> {
    let mut reader = ProxyHeaderReader::new();
    let mut taken = 0;
    for piece in pieces(bytes, seed) {
        if let Some((header, len)) = reader.receive(piece)? {
            assert!(len <= piece.len());
            return Ok(Some((header, taken + len)));
        }
        taken += piece.len();
    }
    Ok(None)
}

/// Version 1 has no word for `LOCAL`.
fn assert_written(header: ProxyHeader) {
    let mut out = Vec::new();
    header.encode_v2(&mut out);
    assert_eq!(read(&out, 1), Ok(Some((header, out.len()))));
    out.clear();
    header.encode_v1(&mut out);
    let expected = if header == ProxyHeader::Local { ProxyHeader::Unknown } else { header };
    assert_eq!(read(&out, 1), Ok(Some((expected, out.len()))));
    if let ProxyHeader::Proxied { source, .. } = header {
        assert_mixed(source);
    }
}

/// Addresses of two families are written in one, and mean the same.
fn assert_mixed(source: SocketAddr) {
    let destination = match source.ip() {
        IpAddr::V4(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 80)),
        IpAddr::V6(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
    };
    let mut out = Vec::new();
    ProxyHeader::Proxied { source, destination }.encode_v2(&mut out);
    let Ok(Some((ProxyHeader::Proxied { source: one, destination: other }, len))) = read(&out, 0)
    else {
        panic!("what is written is read: {source} {destination}");
    };
    assert_eq!(len, out.len());
    for (read, meant) in [(one, source), (other, destination)] {
        assert_eq!(read.port(), meant.port());
        assert_eq!(read.ip().to_canonical(), meant.ip().to_canonical());
    }
}
