//! Proxies that say anything: the client goes on through exactly those answers that another reader takes, and
//! tells them nothing but what its turn is.

use sockeye::client::{Proxies, Proxy, ProxyError};
use sockeye::{Config, Connector, Error};

use super::source::Source;
use super::wire_client::{OnePeer, Peer, finish};

/// A byte of what the proxy is and what it is asked for, a byte of cuts; then what it says.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed) = (source.byte(), source.byte());
    let said = source.rest();
    let has_login = choice & 4 != 0;
    if choice & 3 == 3 {
        for seed in [0, 1, seed] {
            http(said, seed, has_login);
        }
    } else {
        for seed in [0, 1, seed] {
            socks(said, seed, has_login, usize::from(choice & 3));
        }
    }
}

/// What comes of it, and what the proxy was told.
fn connect(proxy: &str, host: &str, said: &[u8], seed: u8) -> (Error, Vec<u8>) {
    let peer = Peer::new(said, seed);
    let told = peer.told();
    let proxy = Proxy::parse(proxy).expect("a proxy");
    let connector =
        Connector::new(Config::default()).dial(OnePeer::new(peer)).proxies(Proxies::all(proxy));
    let connected = finish(connector.connect(&format!("ws://{host}:81/x")));
    // Nobody knows the key beforehand.
    let error = connected.map(drop).expect_err("no answer to the key");
    let told = told.lock().expect("whole").clone();
    (error, told)
}

/// The hosts that are asked for, and how SOCKS writes them.
const HOSTS: [(&str, &[u8]); 3] = [
    ("a.test", b"\x03\x06a.test"),
    ("198.51.100.7", b"\x01\xc6\x33\x64\x07"),
    ("[2001:db8::1]", b"\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"),
];

/// How far the proxy's answers go.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Through,
    Cut,
    Refused(ProxyError),
    /// It breaks the protocol, whatever the words for it are.
    Broken,
}

fn socks(said: &[u8], seed: u8, has_login: bool, host: usize) {
    let (name, address) = HOSTS[host];
    let user = if has_login { "user:marker@" } else { "" };
    let (error, told) = connect(&format!("socks5://{user}proxy.test"), name, said, seed);
    let mut expected = if has_login { vec![5, 2, 0, 2] } else { vec![5, 1, 0] };
    let verdict =
        read(said, has_login, &[&b"\x05\x01\0"[..], address, b"\0\x51"].concat(), &mut expected);
    let seen = match &error {
        Error::Proxy(ProxyError::Socks(_)) => Verdict::Broken,
        Error::Proxy(refused) => Verdict::Refused(refused.clone()),
        Error::Connect(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Verdict::Cut,
        Error::Handshake(_) => Verdict::Through,
        other => panic!("an error of another kind: {other:?}"),
    };
    assert_eq!(seen, verdict, "{error:?}");
    assert!(told.starts_with(&expected), "{told:?}");
    let rest = &told[expected.len()..];
    assert_eq!(rest.starts_with(b"GET /x HTTP/1.1\r\n"), verdict == Verdict::Through);
    assert_eq!(rest.is_empty(), verdict != Verdict::Through, "{rest:?}");
    assert!(!rest.windows(6).any(|window| window == b"marker"));
}

/// RFC 1928 and 1929 from the client's side; what it has to say goes to `told`.
fn read(said: &[u8], has_login: bool, request: &[u8], told: &mut Vec<u8>) -> Verdict {
    let Some((method, said)) = said.split_first_chunk::<2>() else { return Verdict::Cut };
    let said = match (method, has_login) {
        ([5, 0], _) => said,
        ([5, 2], true) => {
            told.extend_from_slice(b"\x01\x04user\x06marker");
            let Some((answer, said)) = said.split_first_chunk::<2>() else { return Verdict::Cut };
            match answer {
                [1, 0] => said,
                [1, _] => return Verdict::Refused(ProxyError::Credentials),
                _ => return Verdict::Broken,
            }
        }
        ([5, 255], _) => return Verdict::Refused(ProxyError::Methods),
        _ => return Verdict::Broken,
    };
    told.extend_from_slice(request);
    let Some((reply, said)) = said.split_first_chunk::<4>() else { return Verdict::Cut };
    let address_len = match reply {
        [5, 0, _, 1] => 4,
        [5, 0, _, 4] => 16,
        [5, 0, _, 3] => match said.first() {
            Some(len) => 1 + usize::from(*len),
            None => return Verdict::Cut,
        },
        [5, 0, ..] => return Verdict::Broken,
        [5, code, ..] => return Verdict::Refused(ProxyError::Reply(*code)),
        _ => return Verdict::Broken,
    };
    if said.len() < address_len + 2 { Verdict::Cut } else { Verdict::Through }
}

fn http(said: &[u8], seed: u8, has_login: bool) {
    let user = if has_login { "user:marker@" } else { "" };
    let (error, told) = connect(&format!("http://{user}proxy.test"), "a.test", said, seed);
    let told = String::from_utf8(told).expect("a request");
    let (asked, rest) = told.split_once("\r\n\r\n").expect("a head");
    assert!(asked.starts_with("CONNECT a.test:81 HTTP/1.1\r\nHost: a.test:81"), "{asked}");
    assert_eq!(asked.contains("proxy-authorization: Basic dXNlcjptYXJrZXI="), has_login);
    assert!(!rest.contains("roxy") && !rest.contains("dXNlcjptYXJrZXI="), "{rest}");
    let is_through = matches!(error, Error::Handshake(_));
    assert_eq!(rest.starts_with("GET /x HTTP/1.1\r\n"), is_through, "{error:?}");
    assert_eq!(rest.is_empty(), !is_through, "{rest}");
    let Some((status, len)) = final_head(said) else {
        assert!(!is_through, "no answer was taken for one");
        return;
    };
    if is_through {
        assert!((200..300).contains(&status), "through by {status}");
        assert!(seed != 0 || len == said.len(), "bytes that are not the server's");
    } else if let Error::Proxy(ProxyError::Status(seen)) = error {
        assert_eq!(seen, status);
    }
}

/// The status of the first answer that is no interim one, by another parser, and where its head ends.
fn final_head(said: &[u8]) -> Option<(u16, usize)> {
    let mut said = said.to_vec();
    let mut at = 0;
    loop {
        // The other parser knows no later minor version; ours takes one as 1.1 (RFC 9110 2.5).
        if let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9', ..]) =
            said.get_mut(at..)
        {
            *minor = b'1';
        }
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = response.parse(&said[at..]) else { return None };
        at += len;
        match response.code? {
            100 | 102..=199 => {}
            status => return Some((status, at)),
        }
    }
}
