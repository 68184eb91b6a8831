//! Servers that send a client on and on: it goes no further than it may, never in a circle nor from TLS to none, and no place
//! but the first is told what is the first one's alone.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, USER_AGENT};
use sockeye::client::{BoxFuture, Dial, RedirectError};
use sockeye::{Config, Connector, Error, HandshakeError, NetStream};

use super::source::Source;
use super::wire_client::{NoTls, Peer, finish};

const HOPS_MAX: u8 = 4;
const FIRST: &str = "a.test:80";

/// A byte of statuses, then lines: where each place sends the client on to.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choice = source.byte();
    let status = [301, 302, 303, 307, 308][usize::from(choice) % 5];
    let lines: Vec<&[u8]> = source.rest().split(|byte| *byte == b'\n').take(8).collect();
    // What is no value of a header is refused as a response, which is for other targets.
    if lines.iter().any(|line| HeaderValue::from_bytes(line).is_err()) {
        return;
    }
    let answers = lines.iter().map(|line| {
        [format!("HTTP/1.1 {status} On\r\nLocation: ").as_bytes(), line, b"\r\n\r\n"].concat()
    });
    let net = Net { answers: Arc::new(Mutex::new(answers.collect())), visits: Arc::default() };
    let visits = net.visits.clone();
    let connector = Connector::new(Config::default())
        .follow_redirects(HOPS_MAX)
        .expect("so many")
        .dial(net)
        .tls(NoTls)
        .header(COOKIE, HeaderValue::from_static("marker=1"))
        .header(USER_AGENT, HeaderValue::from_static("x"))
        .subprotocol("chat")
        .subprotocol("bearer.marker");
    let connected = finish(connector.connect("ws://user:marker@a.test/one/two?x"));
    let error = connected.map(drop).expect_err("nobody answers");
    let visits = visits.lock().expect("whole");
    checked(&visits, &error, &lines);
}

/// Whom the client called, and what it said there.
type Visit = (String, Option<Arc<Mutex<Vec<u8>>>>);

fn checked(visits: &[Visit], error: &Error, lines: &[&[u8]]) {
    assert!((1..=1 + usize::from(HOPS_MAX)).contains(&visits.len()), "{} calls", visits.len());
    let (mut is_same_place, mut seen) = (true, Vec::new());
    for (place, told) in visits {
        let told = told.as_ref().expect("who is looked up is called");
        let told = told.lock().expect("whole").clone();
        // Where a call is for TLS, nothing is said in the clear.
        let Ok(told) = String::from_utf8(told) else { return };
        let Some((line, headers)) = told.split_once("\r\n") else { return };
        is_same_place &= place == FIRST;
        let target = line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
        let target = target.expect("one line");
        assert!(target.starts_with('/') && !target.contains(['#', ' ']), "{target}");
        let host = headers.split("\r\n").find_map(|line| line.strip_prefix("Host: "));
        let host = host.expect("a host").to_ascii_lowercase();
        let called = place.strip_suffix(":80").unwrap_or(place);
        assert!(
            host.trim_matches(['[', ']']) == called.trim_matches(['[', ']']) || host == *place,
            "{host}, {place}"
        );
        assert!(!seen.contains(&(place.clone(), target.to_owned())), "a circle to {place}{target}");
        seen.push((place.clone(), target.to_owned()));
        let says = |what: &str| headers.to_ascii_lowercase().contains(what);
        assert!(says("user-agent: x") && says("chat"));
        assert_eq!(says("marker"), is_same_place, "{place} is told {headers:?}");
        assert_eq!(says(AUTHORIZATION.as_str()), is_same_place, "{place} is told {headers:?}");
    }
    match error {
        Error::Redirect(RedirectError::TooMany { max }) => {
            assert_eq!((*max, visits.len()), (HOPS_MAX, 1 + usize::from(HOPS_MAX)));
        }
        Error::Redirect(_) | Error::Tls(_) | Error::Io(_) => {}
        Error::Handshake(HandshakeError::Closed) => assert_eq!(visits.len(), 1 + lines.len()),
        // What names no place.
        Error::Handshake(HandshakeError::UnexpectedStatus(_)) => {
            let named = HeaderValue::from_bytes(lines[visits.len() - 1]).expect("a value");
            assert!(named.is_empty() || named.to_str().is_err(), "{named:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// Every name has one address; each call is answered with what is next.
struct Net {
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl Dial for Net {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.visits.lock().expect("whole").push((format!("{host}:{port}"), None));
        Box::pin(async move { Ok(vec![([192, 0, 2, 1], port).into()]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        let answer = self.answers.lock().expect("whole").pop_front().unwrap_or_default();
        let peer = Peer::new(&answer, 0);
        let mut visits = self.visits.lock().expect("whole");
        // Addresses are not looked up.
        match visits.last_mut() {
            Some((_, told @ None)) => *told = Some(peer.told()),
            _ => visits.push((address.to_string(), Some(peer.told()))),
        }
        Box::pin(async move { Ok(NetStream::boxed(peer)) })
    }
}
