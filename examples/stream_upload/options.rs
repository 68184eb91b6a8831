//! The command line of the upload.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sockeye::Config;

pub(crate) const USAGE: &str = "\
usage: stream_upload serve --dir DIR [OPTIONS]
       stream_upload send URL FILE
  --dir DIR           where files are put; made if it is not there
  --addr ADDRESS      address to listen on (default 127.0.0.1)
  --port PORT         port; 0 picks one (default 9001)
  --max-bytes BYTES   longest file (default 1 TiB)
  --max-seconds S     longest time for one file (default 86400)
  --max-uploads N     connections at a time (default 64)";

pub(crate) enum Options {
    Serve(Serve),
    Send { url: String, file: PathBuf },
}

pub(crate) struct Serve {
    pub(crate) dir: PathBuf,
    pub(crate) addr: SocketAddr,
    pub(crate) bytes_max: usize,
    pub(crate) upload_timeout: Duration,
    pub(crate) uploads_max: usize,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut args = std::env::args().skip(1);
        match args.next().as_deref() {
            Some("serve") => Serve::parse(args).map(Self::Serve),
            Some("send") => match (args.next(), args.next(), args.next()) {
                (Some(url), Some(file), None) => Ok(Self::Send { url, file: file.into() }),
                _ => Err("send needs a URL and a file".to_owned()),
            },
            _ => Err("what to do: serve or send?".to_owned()),
        }
    }
}

impl Serve {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut dir = None;
        let (mut address, mut port) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 9001);
        let mut bytes_max = 1 << 40;
        let mut seconds_max = 24 * 60 * 60;
        let mut uploads_max = 64;
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--dir" => dir = Some(PathBuf::from(value)),
                "--addr" => address = parse(&name, &value)?,
                "--port" => port = parse(&name, &value)?,
                "--max-bytes" => bytes_max = parse(&name, &value)?,
                "--max-seconds" => seconds_max = parse(&name, &value)?,
                "--max-uploads" => uploads_max = parse(&name, &value)?,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(Self {
            dir: dir.ok_or("serve needs --dir")?,
            addr: SocketAddr::new(address, port),
            bytes_max,
            upload_timeout: Duration::from_secs(seconds_max),
            uploads_max,
        })
    }

    /// Messages as long as a file may be. They are read as they come, so the limits guard the disk and
    /// the patience, not the memory.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.message_bytes_max = self.bytes_max;
        // A file may come in any number of frames; its length is bounded all the same.
        config.fragments_max = u32::MAX;
        // From a message's first byte to its last, without the time the disk takes: a minute, as is
        // usual, is not enough for a long file. A client that falls silent ends by the keepalive.
        config.message_timeout = self.upload_timeout;
        config
    }
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not understood"))
}
