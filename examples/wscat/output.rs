//! The standard output: messages.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;
use sockeye::Message;
use tokio::time::Instant;

use crate::screen::Screen;

pub(crate) struct Output {
    screen: Screen,
    is_json: bool,
    is_terminal: bool,
    /// When it began, to tell when messages came.
    since: Option<Instant>,
}

impl Output {
    pub(crate) fn new(screen: Screen, is_json: bool, is_timed: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self { screen, is_json, is_terminal, since: is_timed.then(Instant::now) }
    }

    /// Text as a line, binary as it is: so that both go through pipes.
    pub(crate) fn write(&self, message: &Message) -> io::Result<()> {
        self.screen.show(|| self.write_here(message))
    }

    fn write_here(&self, message: &Message) -> io::Result<()> {
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
                let pretty = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
                let text = pretty.map_or(Cow::Borrowed(text), Cow::Owned);
                let text = if self.is_terminal { harmless(&text) } else { text };
                writeln!(out, "{text}")?;
            }
        }
        out.flush()
    }
}

/// A server does not move the cursor or ring the bell.
fn harmless(text: &str) -> Cow<'static, str> {
    let is_harmful = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    let show = |character| match is_harmful(character) {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(show).collect::<String>().into()
}
