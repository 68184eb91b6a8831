//! The command line.

use std::time::Duration;

use sockeye::client::{IntoTimeout, Proxies, Proxy};
use sockeye::http::{HeaderName, HeaderValue};
use sockeye::{Config, Connector, Deflate};

#[cfg(not(feature = "tls"))]
use crate::no_tls::protect;
#[cfg(feature = "tls")]
use crate::tls::protect;

pub(crate) const USAGE: &str = "\
usage: wscat [OPTIONS] URL

URL is ws://HOST[:PORT]/PATH, wss://... or ws+unix:///PATH/OF/SOCKET:/PATH. Each line of the standard input is a
text message, its end closes the connection. Text messages come out as lines. In a terminal a line can be edited,
the arrow keys bring those before it back, and Ctrl-C closes.

  -H, --header 'NAME: VALUE'   send this header with the handshake; repeatable
  -s, --subprotocol NAME       offer this subprotocol; repeatable
  -b, --binary                 send what is read as binary messages; write binary messages as they are
  -c, --compress MODE          takeover, no-context or off (default off)
  -x, --proxy URL              http://[USER:PASSWORD@]HOST:PORT or socks5://... (default: as the environment says)
      --no-proxy               no proxy, whatever the environment says
      --ca FILE                trust these certificates (PEM) instead of the system's
      --cert FILE --key FILE   show this certificate chain, whose key this is (PEM), to servers that ask for one
  -L, --follow N               follow up to N redirects, 10 at most (default 0)
  -r, --reconnect              connect again when the connection is lost
  -p, --ping DURATION          ping so often and tell the time there and back
  -t, --timeout DURATION       for connecting, and for the handshake (default 10s)
  -l, --listen                 do not read the standard input
  -e, --echo                   send every message back; implies --listen
  -j, --json                   print JSON with line breaks
  -T, --timings                tell how long connecting took, and when messages came

Exit status: 0 after a clean close, 1 after an error, which is told in one line, 2 for wrong usage.";

pub(crate) struct Options {
    pub(crate) connector: Connector,
    pub(crate) url: String,
    pub(crate) ping: Option<Duration>,
    pub(crate) is_binary: bool,
    pub(crate) is_echo: bool,
    pub(crate) is_json: bool,
    pub(crate) is_reconnecting: bool,
    pub(crate) is_timed: bool,
    pub(crate) reads_input: bool,
}

/// Whom to trust and what to show, as files.
#[derive(Default)]
pub(crate) struct Trust {
    pub(crate) roots: Option<String>,
    pub(crate) chain: Option<String>,
    pub(crate) key: Option<String>,
}

pub(crate) type Failure = Box<dyn std::error::Error>;

impl Options {
    /// `None` when help was asked for.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, Failure> {
        let mut options = Self {
            connector: Connector::new(config()),
            url: String::new(),
            ping: None,
            is_binary: false,
            is_echo: false,
            is_json: false,
            is_reconnecting: false,
            is_timed: false,
            reads_input: true,
        };
        let (mut proxies, mut trust) = (None, Trust::default());
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "-h" | "--help" => return Ok(None),
                "-b" | "--binary" => options.is_binary = true,
                "-e" | "--echo" => (options.is_echo, options.reads_input) = (true, false),
                "-j" | "--json" => options.is_json = true,
                "-l" | "--listen" => options.reads_input = false,
                "-r" | "--reconnect" => options.is_reconnecting = true,
                "-T" | "--timings" => options.is_timed = true,
                "--no-proxy" => proxies = Some(Proxies::none()),
                "--ca" => trust.roots = Some(value()?),
                "--cert" => trust.chain = Some(value()?),
                "--key" => trust.key = Some(value()?),
                "-x" | "--proxy" => proxies = Some(Proxies::all(Proxy::parse(&value()?)?)),
                "-p" | "--ping" => options.ping = Some(interval(&value()?)?),
                name if name.starts_with('-') => {
                    options.connector = connector_option(options.connector, name, &value()?)?;
                }
                _ if options.url.is_empty() => options.url = name,
                _ => return Err("one URL only".into()),
            }
        }
        if options.url.is_empty() {
            return Err("there is no URL".into());
        }
        if trust.chain.is_some() != trust.key.is_some() {
            return Err("--cert and --key need each other".into());
        }
        let proxies = proxies.map_or_else(Proxies::from_env, Ok)?;
        options.connector = protect(options.connector.proxies(proxies), &trust)?;
        Ok(Some(options))
    }
}

/// What a server sends behind our close is taken as far as it fits here: an echo of what a pipe has brought.
fn config() -> Config {
    let mut config = Config::default();
    config.read_ahead_messages_max = 10_000;
    config.read_ahead_bytes_max = 64 * 1024 * 1024;
    config
}

/// An option with a value that is one of the connector.
fn connector_option(connector: Connector, name: &str, value: &str) -> Result<Connector, Failure> {
    Ok(match name {
        "-H" | "--header" => {
            let (name, value) = value.split_once(':').ok_or("a header is NAME: VALUE")?;
            connector.header(HeaderName::try_from(name)?, HeaderValue::try_from(value.trim())?)
        }
        "-s" | "--subprotocol" => connector.subprotocol(value),
        "-c" | "--compress" => connector.compression(match value {
            "takeover" => Deflate::context_takeover(),
            "no-context" => Deflate::no_context(),
            "off" => Deflate::disabled(),
            _ => return Err("--compress is takeover, no-context or off".into()),
        }),
        "-L" | "--follow" => connector.follow_redirects(value.parse()?)?,
        "-t" | "--timeout" => connector.dial_timeout(value)?.handshake_timeout(value)?,
        _ => return Err(format!("unknown option {name}").into()),
    })
}

fn interval(text: &str) -> Result<Duration, Failure> {
    let interval = text.into_timeout()?;
    if interval.is_zero() { Err("--ping of nothing".into()) } else { Ok(interval) }
}
