//! Through a proxy: HTTP CONNECT (RFC 9110 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).

use std::io;
use std::net::IpAddr;

use http::header::PROXY_AUTHORIZATION;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Host;

use crate::error::{Error, ProxyError};
use crate::handshake::{HandshakeError, HeadLimits, ResponseReader};
use crate::net::NetStream;
use crate::net::head::read_head;

use super::proxy::{Login, Proxy, ProxyKind};

/// Asks the proxy on this stream for a connection.
pub(super) async fn through(
    proxy: &Proxy,
    stream: &mut NetStream,
    host: &Host<String>,
    port: u16,
) -> Result<(), Error> {
    match proxy.kind {
        ProxyKind::Http | ProxyKind::Https => connect(proxy, stream, host, port).await,
        ProxyKind::Socks5 => socks5(proxy.login.as_ref(), stream, host, port).await,
    }
}

async fn connect(
    proxy: &Proxy,
    stream: &mut NetStream,
    host: &Host<String>,
    port: u16,
) -> Result<(), Error> {
    let mut request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(login) = &proxy.login {
        request.extend_from_slice(PROXY_AUTHORIZATION.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(login.basic.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(Error::Connect)?;
    stream.flush().await.map_err(Error::Connect)?;
    let mut reader = ResponseReader::new(HeadLimits::default());
    let behind = read_head::<_, HeadError>(stream, |bytes| reader.receive(bytes)).await?;
    let status = reader.response().map_err(ProxyError::Head)?.status();
    // No second try with credentials: they went with the first.
    if !status.is_success() {
        return Err(ProxyError::Status(status).into());
    }
    // A Content-Length of this answer means nothing; what follows is the server's, which waits for us.
    if behind.is_empty() { Ok(()) } else { Err(ProxyError::EarlyBytes.into()) }
}

/// What can go wrong while the head of the proxy's answer is read.
struct HeadError(Error);

impl From<HandshakeError> for HeadError {
    fn from(error: HandshakeError) -> Self {
        Self(ProxyError::Head(error).into())
    }
}

impl From<io::Error> for HeadError {
    fn from(error: io::Error) -> Self {
        Self(Error::Connect(error))
    }
}

impl From<HeadError> for Error {
    fn from(error: HeadError) -> Self {
        error.0
    }
}

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;

/// The version of the negotiation of RFC 1929.
const LOGIN_VERSION: u8 = 1;

const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

async fn socks5(
    login: Option<&Login>,
    stream: &mut NetStream,
    host: &Host<String>,
    port: u16,
) -> Result<(), Error> {
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    send(stream, methods).await?;
    match (read::<2>(stream).await?, login) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(login)) => log_in(login, stream).await?,
        ([VERSION, 0xff], _) => return Err(ProxyError::Methods.into()),
        ([VERSION, _], _) => {
            return Err(ProxyError::Socks("a way to log in that was not offered").into());
        }
        _ => return Err(ProxyError::Socks("its version is another").into()),
    }
    send(stream, &request(host, port)?).await?;
    let [version, reply, _, kind] = read::<4>(stream).await?;
    if version != VERSION {
        return Err(ProxyError::Socks("its version is another").into());
    }
    if reply != 0 {
        return Err(ProxyError::Reply(reply).into());
    }
    // Where it connected from; only its length matters.
    let address_bytes = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1>(stream).await?[0]),
        _ => return Err(ProxyError::Socks("an unknown kind of address").into()),
    };
    let mut rest = [0; u8::MAX as usize + 2];
    stream.read_exact(&mut rest[..address_bytes + 2]).await.map_err(Error::Connect)?;
    Ok(())
}

async fn log_in(login: &Login, stream: &mut NetStream) -> Result<(), Error> {
    let mut message = vec![LOGIN_VERSION];
    for text in [&login.user, &login.password] {
        push_text(&mut message, text)?;
    }
    send(stream, &message).await?;
    match read::<2>(stream).await? {
        [LOGIN_VERSION, 0] => Ok(()),
        [LOGIN_VERSION, _] => Err(ProxyError::Credentials.into()),
        _ => Err(ProxyError::Socks("its version of logging in is another").into()),
    }
}

fn request(host: &Host<String>, port: u16) -> Result<Vec<u8>, Error> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host {
        Host::Ipv4(address) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Host::Ipv6(address) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Host::Domain(name) => {
            request.push(NAME);
            push_text(&mut request, name)?;
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// A text behind its length in one byte.
fn push_text(message: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let len = u8::try_from(text.len());
    message.push(len.map_err(|_| Error::Url("the host is too long for a SOCKS proxy"))?);
    message.extend_from_slice(text.as_bytes());
    Ok(())
}

async fn send(stream: &mut NetStream, bytes: &[u8]) -> Result<(), Error> {
    stream.write_all(bytes).await.map_err(Error::Connect)?;
    stream.flush().await.map_err(Error::Connect)
}

/// Not a byte more than belongs to the answer, for what follows is the server's.
async fn read<const N: usize>(stream: &mut NetStream) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(Error::Connect)?;
    Ok(bytes)
}

/// The host a proxy is asked for: an address that was judged here, or the name.
pub(super) fn asked_for(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}
