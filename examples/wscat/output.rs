//! The standard output: messages.

use std::io::{self, Write};

use serde_json::Value;
use sockeye::Message;
use tokio::time::Instant;

pub(crate) struct Output {
    is_json: bool,
    /// When it began, to tell when messages came.
    since: Option<Instant>,
}

impl Output {
    pub(crate) fn new(is_json: bool, is_timed: bool) -> Self {
        Self { is_json, since: is_timed.then(Instant::now) }
    }

    /// Text as a line, binary as it is: so that both go through pipes.
    pub(crate) fn write(&mut self, message: &Message) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Some(since) = self.since {
            let len = message.as_bytes().len();
            eprintln!("{:.6} s: {len} bytes", since.elapsed().as_secs_f64());
        }
        match message.as_text() {
            None => out.write_all(message.as_bytes())?,
            Some(text) => {
                let value = Some(text).filter(|_| self.is_json);
                let value = value.and_then(|text| serde_json::from_str::<Value>(text).ok());
                match value.and_then(|value| serde_json::to_string_pretty(&value).ok()) {
                    Some(pretty) => writeln!(out, "{pretty}")?,
                    None => writeln!(out, "{text}")?,
                }
            }
        }
        out.flush()
    }
}
