//! TLS, both sides, through the public API: what is refused, how it ends, and what a bad peer can do.

#![cfg(feature = "ring")]

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use sockeye::client::{Proxies, Proxy};
use sockeye::protocol::CloseCause;
use sockeye::tls::rustls::server::Acceptor as Hello;
use sockeye::tls::rustls::{AlertDescription, version};
use sockeye::tls::{TlsAcceptor, TlsConnector, TlsError, rustls};
use sockeye::{
    Acceptor, Answer, CloseCode, Config, Connector, Error, HandshakeError, Message, NetStream,
    Server,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

use crate::support::pair::quiet;
use crate::support::server::{lawful, within};
use crate::support::tls::{Authority, ByHand, Issued, Site, talk};

/// AU-13, BY-27, row 52: messages of any length both ways, by both versions, and a clean end; by address too.
#[tokio::test]
async fn by_27_both_versions() {
    let authority = Authority::new();
    let mut site = Site::start(authority.here()).await;
    for versions in
        [&[&version::TLS12][..], &[&version::TLS13], &[&version::TLS12, &version::TLS13]]
    {
        let tls = TlsConnector::from_config(authority.config(versions));
        let mut socket = site.connect(tls).await.unwrap();
        for len in [0, 1, 125, 16_384, 70_000, 5_000_000] {
            talk(&mut socket, Message::binary(vec![7; len])).await;
        }
        // Much at once: neither end waits for what the other holds back.
        for number in 0..1000 {
            socket.feed(format!("{number}")).unwrap();
        }
        for number in 0..1000 {
            let message = within(socket.recv()).await.unwrap().unwrap();
            assert_eq!(message.as_text(), Some(number.to_string().as_str()));
        }
        let outcome = within(socket.close(1000, "")).await.unwrap();
        assert_eq!((outcome.code, outcome.clean), (CloseCode::Normal, true));
        let outcome = within(site.outcomes.recv()).await.unwrap();
        assert_eq!((outcome.code, outcome.clean), (CloseCode::Normal, true));
    }
    let url = format!("wss://{}/", site.addr);
    let connector = Connector::new(quiet()).tls(authority.connector());
    talk(&mut within(connector.connect(&url)).await.unwrap(), "by address".into()).await;
}

/// E34: certificates that have expired, are for others, or come from nobody who is trusted.
#[tokio::test]
async fn e34_refused_certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let refused = async |issued: Issued| {
        let site = Site::start(issued.acceptor()).await;
        let error = site.connect(authority.connector()).await.unwrap_err();
        assert!(!error.retryable(), "{error:?}");
        error
    };
    let error = refused(authority.issue_expired(&["localhost"])).await;
    assert!(matches!(TlsError::of(&error), Some(TlsError::Expired)), "{error:?}");
    assert_eq!(error.to_string(), "tls: the certificate has expired or is not valid yet");
    let error = refused(authority.issue(&["other.test", "127.0.0.1"])).await;
    assert!(matches!(TlsError::of(&error), Some(TlsError::WrongHost)), "{error:?}");
    for issued in [Issued::self_signed(&["localhost"]), stranger.issue(&["localhost"])] {
        let error = refused(issued).await;
        assert!(matches!(TlsError::of(&error), Some(TlsError::UnknownIssuer)), "{error:?}");
    }
    // Who refused us is served no worse afterwards.
    let site = Site::start(authority.here()).await;
    assert!(site.connect(stranger.connector()).await.is_err());
    site.serves(&authority).await;
}

/// What a client says first: the name it asks for, and its protocols.
async fn hello_of(host: &str) -> (Option<String>, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("wss://{host}:{port}/");
    let connector = Connector::new(quiet()).tls(Authority::new().connector());
    let reading = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut hello, mut block) = (Hello::default(), [0; 4096]);
        loop {
            let len = stream.read(&mut block).await.unwrap();
            hello.read_tls(&mut &block[..len]).unwrap();
            if let Ok(Some(accepted)) = hello.accept() {
                let hello = accepted.client_hello();
                let protocols = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
                return (hello.server_name().map(str::to_owned), protocols);
            }
        }
    };
    let (error, said) = within(async { tokio::join!(connector.connect(&url), reading) }).await;
    // The stream failed, which may pass.
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Tls(_)) && error.retryable(), "{error:?}");
    said
}

/// E35: a client names the host, where it is a name, and offers `http/1.1` and nothing else.
#[tokio::test]
async fn e35_sni_and_alpn() {
    assert_eq!(hello_of("LOCALHOST").await, (Some("localhost".into()), vec![b"http/1.1".to_vec()]));
    assert_eq!(hello_of("127.0.0.1").await, (None, vec![b"http/1.1".to_vec()]));
}

/// E35: a server agrees on `http/1.1` or, where the client asks for none, on nothing; others are refused.
#[tokio::test]
async fn e35_alpn_of_the_server() {
    let authority = Authority::new();
    let site = Site::start(authority.here()).await;
    let offer = async |protocols: &[&[u8]]| {
        let mut config = authority.by_hand();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let addr = site.addr;
        spawn_blocking(move || {
            let mut client = ByHand::dial(config, addr);
            let done = client.tls.complete_io(&mut client.tcp);
            done.map(|_| client.tls.alpn_protocol().map(<[u8]>::to_vec))
        })
        .await
        .unwrap()
    };
    assert_eq!(offer(&[b"h2", b"http/1.1"]).await.unwrap(), Some(b"http/1.1".to_vec()));
    assert_eq!(offer(&[]).await.unwrap(), None);
    let error = offer(&[b"h2"]).await.unwrap_err().downcast::<rustls::Error>().unwrap();
    let expected = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(error, expected);
    site.serves(&authority).await;
}

/// E33, A34, row 52: a stream that ends without `close_notify` is an error on both sides, and never a clean
/// end; with `close_notify` and without a close frame it is an end, and no clean one either.
#[tokio::test]
async fn e33_a34_truncation() {
    let authority = Authority::new();
    let mut site = Site::start(authority.here()).await;
    // Somebody between the two who ends both connections.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let addr = site.addr;
    let relay = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(addr).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await
    });
    let connector = Connector::new(quiet()).tls(authority.connector());
    let mut socket = within(connector.connect(&url)).await.unwrap();
    talk(&mut socket, "hello".into()).await;
    relay.abort();
    let error = within(socket.recv()).await.unwrap_err();
    let Error::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    let truncated = CloseCause::Io(std::io::ErrorKind::UnexpectedEof);
    for outcome in [socket.outcome().unwrap().clone(), within(site.outcomes.recv()).await.unwrap()]
    {
        assert_eq!((outcome.code, outcome.clean), (CloseCode::Abnormal, false));
        assert_eq!(outcome.cause, truncated);
    }

    let mut stream = authority
        .connector()
        .connect("localhost", TcpStream::connect(site.addr).await.unwrap().into())
        .await
        .unwrap();
    stream.write_all(&lawful()).await.unwrap();
    within(stream.read_u8()).await.unwrap();
    stream.shutdown().await.unwrap();
    let outcome = within(site.outcomes.recv()).await.unwrap();
    assert_eq!((outcome.code, outcome.clean), (CloseCode::Abnormal, false));
    assert_eq!(outcome.cause, CloseCause::Eof);
}

/// Row 52: the server says `close_notify` behind its last close frame, and behind a refusal.
#[tokio::test]
async fn row_52_close_notify_is_sent() {
    let authority = Authority::new();
    let site = Site::start(authority.here()).await;
    let talk = async |bytes: Vec<u8>| {
        let (config, addr) = (authority.by_hand(), site.addr);
        spawn_blocking(move || ByHand::dial(config, addr).talk(&bytes)).await.unwrap()
    };
    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    let answer = talk([lawful(), close.to_vec()].concat()).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(&[0x88, 2, 0x03, 0xe8]));
    let refused = talk(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()).await.unwrap();
    assert!(refused.starts_with(b"HTTP/1.1 426 "), "{}", String::from_utf8_lossy(&refused));
}

/// A certificate that is renewed while the server runs; what cannot be read changes nothing.
#[tokio::test]
async fn certificates_are_reloaded() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = std::env::temp_dir().join(format!("sockeye-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    let store = |issued: &Issued| {
        std::fs::write(&chain, &issued.chain).unwrap();
        std::fs::write(&key, &issued.key).unwrap();
    };
    store(&old.issue(&["localhost"]));
    let tls = TlsAcceptor::from_files(&chain, &key).unwrap();
    let site = Site::start(tls.clone()).await;
    site.serves(&old).await;
    let mut lasting = site.connect(old.connector()).await.unwrap();

    std::fs::write(&key, new.issue(&["localhost"]).key).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::KeyMismatch)));
    std::fs::write(&chain, "").unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::NoCertificate)));
    std::fs::remove_file(&chain).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::File { path, .. }) if path == chain));
    site.serves(&old).await;

    store(&new.issue(&["localhost"]));
    tls.reload().unwrap();
    site.serves(&new).await;
    assert!(site.connect(old.connector()).await.is_err());
    talk(&mut lasting, "goes on".into()).await;
    std::fs::remove_dir_all(folder).unwrap();
}

/// What is wrong with files shows where they are given.
#[test]
fn bad_certificates_are_explained() {
    let authority = Authority::new();
    let (one, two) = (authority.issue(&["a"]), authority.issue(&["a"]));
    let made = |chain: &str, key: &str| TlsAcceptor::from_pem(chain.as_bytes(), key.as_bytes());
    assert!(matches!(made(&one.chain, &two.key), Err(TlsError::KeyMismatch)));
    assert!(matches!(made(&one.key, &one.key), Err(TlsError::NoCertificate)));
    assert!(matches!(made(&one.chain, &one.chain), Err(TlsError::NoKey)));
    let broken = one.chain.replace("-----END", "");
    assert!(matches!(made(&broken, &one.key), Err(TlsError::Pem(_))));
    assert!(matches!(TlsConnector::roots_pem(b""), Err(TlsError::NoCertificate)));
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(TlsConnector::roots_pem(rubbish.as_bytes()).is_err());
    let own = TlsAcceptor::from_pem(one.chain.as_bytes(), one.key.as_bytes()).unwrap();
    assert!(matches!(own.reload(), Err(TlsError::OwnConfig)), "there are no files");
    let text = format!("{:?} {own:?}", made(&one.chain, &two.key));
    assert!(!text.contains("PRIVATE") && !text.contains(&two.key[30..60]));
}

/// A client shows its certificate to a server that wants one, and is refused without.
#[tokio::test]
async fn client_certificates() {
    let authority = Authority::new();
    let client = authority.issue(&["client"]);
    let site = Site::start(authority.asking()).await;
    assert!(site.connect(authority.connector()).await.is_err());
    let tls = authority.connector();
    let tls = tls.client_certificate(client.chain.as_bytes(), client.key.as_bytes()).unwrap();
    talk(&mut site.connect(tls.clone()).await.unwrap(), "known".into()).await;
    let other = authority.issue(&["client"]);
    let mismatch = tls.client_certificate(client.chain.as_bytes(), other.key.as_bytes());
    assert!(matches!(mismatch, Err(TlsError::KeyMismatch)));
}

/// AU-13, AU-12: a token lets its client in over `wss`, and is not to be read on the way; who talks to the port
/// without TLS is told nothing.
#[tokio::test]
async fn au_13_a_token_goes_by_tls() {
    let authority = Authority::new();
    let acceptor = Acceptor::new(quiet()).on_request(|request| {
        let is_known = request.bearer_token() == Some("marker-of-ann");
        let refused = Answer::refuse(StatusCode::UNAUTHORIZED, "who?");
        std::future::ready(if is_known { Answer::accept() } else { refused })
    });
    let site = Site::with(authority.here(), acceptor).await;
    let with = |token: &'static str| {
        let connector = Connector::new(quiet()).tls(authority.connector());
        connector.header(AUTHORIZATION, HeaderValue::from_static(token))
    };
    // Somebody between the two who writes down what the client says.
    let (near, mut far) = duplex(1 << 16);
    let mut tcp = TcpStream::connect(site.addr).await.unwrap();
    let relay = tokio::spawn(async move {
        let (mut seen, mut there, mut back) = (Vec::<u8>::new(), [0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                len = far.read(&mut there) => match len {
                    Ok(len @ 1..) => {
                        seen.extend(&there[..len]);
                        tcp.write_all(&there[..len]).await.unwrap();
                    }
                    _ => return seen,
                },
                len = tcp.read(&mut back) => match len {
                    Ok(len @ 1..) => far.write_all(&back[..len]).await.unwrap(),
                    _ => return seen,
                },
            }
        }
    });
    let stream = authority.connector().connect("localhost", NetStream::boxed(near)).await.unwrap();
    let connector = with("Bearer marker-of-ann");
    let mut socket = within(connector.connect_on("wss://localhost/", stream)).await.unwrap();
    talk(&mut socket, "marker".into()).await;
    within(socket.close(1000, "")).await.unwrap();
    drop(socket);
    let seen = within(relay).await.unwrap();
    assert!(seen.len() > 500, "{} bytes", seen.len());
    for secret in [&b"marker"[..], b"GET ", b"Bearer"] {
        assert!(!seen.windows(secret.len()).any(|window| window == secret), "in the clear");
    }
    let refused = within(with("Bearer other").connect(&site.url())).await.unwrap_err();
    let Error::Handshake(HandshakeError::UnexpectedStatus(answer)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let plain = site.url().replace("wss:", "ws:");
    let error = within(with("Bearer marker-of-ann").connect(&plain)).await.unwrap_err();
    assert!(matches!(error, Error::Handshake(_) | Error::Io(_)), "{error:?}");
}

/// A hub's members behind TLS get what is broadcast, in order.
#[cfg(feature = "hub")]
#[tokio::test]
async fn a_hub_behind_tls() {
    use sockeye::hub::{Handlers, Hub, Shutdown};
    use std::time::Duration;
    let authority = Authority::new();
    let hub = Hub::builder().default_room("lobby").config(quiet()).build().unwrap();
    let handlers = Handlers::new().on_message(|connection, message| {
        for room in connection.peer().rooms() {
            room.broadcast(message).unwrap();
        }
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap().tls(authority.here());
    let url = format!("wss://localhost:{}/", server.local_addr().unwrap().port());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let shutdown = async { stopped.await.unwrap_or_else(|_| Shutdown::new(Duration::ZERO)) };
    let serving = tokio::spawn(async move { hub.serve_until(server, handlers, shutdown).await });
    let connector = Connector::new(quiet()).tls(authority.connector());
    let mut members = Vec::new();
    for index in 0..4 {
        let mut member = within(connector.connect(&url)).await.unwrap();
        // Who hears itself is in.
        talk(&mut member, format!("in {index}").into()).await;
        members.push(member);
    }
    for number in 0..100 {
        members[0].feed(format!("{number}")).unwrap();
    }
    members[0].flush().await.unwrap();
    for member in &mut members {
        let mut expected = 0;
        while expected < 100 {
            let message = within(member.recv()).await.unwrap().unwrap();
            let text = message.as_text().unwrap();
            if !text.starts_with("in ") {
                assert_eq!(text, expected.to_string());
                expected += 1;
            }
        }
    }
    drop(stop.send(Shutdown::new(Duration::from_secs(1))));
    for member in &mut members {
        assert!(matches!(within(member.recv()).await, Ok(None)));
        assert_eq!(member.outcome().unwrap().code, CloseCode::GoingAway);
    }
    within(serving).await.unwrap().unwrap();
}

/// BY-50: `wss` through an HTTP proxy, and through one that is itself called by TLS.
#[tokio::test]
async fn by_50_wss_through_a_proxy() {
    let authority = Authority::new();
    let site = Site::start(authority.here()).await;
    for scheme in ["http", "https"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let (tls, addr) = (authority.here(), site.addr);
        let relay = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut client = match scheme {
                "https" => tls.accept(stream).await.unwrap(),
                _ => NetStream::from(stream),
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let asked = format!("CONNECT localhost:{} HTTP/1.1\r\n", addr.port());
            assert!(head.starts_with(asked.as_bytes()), "{}", String::from_utf8_lossy(&head));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(addr).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
        let proxies = Proxies::all(Proxy::parse(&proxy).unwrap());
        let connector = Connector::new(Config::default()).tls(authority.connector());
        let (connector, url) = (connector.proxies(proxies), site.url());

        let mut socket = within(connector.connect(&url)).await.unwrap();
        talk(&mut socket, "inside".into()).await;
        within(socket.close(1000, "")).await.unwrap();
        drop(socket);
        within(relay).await.unwrap();
    }
}
