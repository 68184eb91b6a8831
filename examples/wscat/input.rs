//! The standard input, as messages.

use std::io::{BufRead, Read};

use sockeye::Message;
use tokio::sync::mpsc;

use crate::editor::{Edited, Keys};
use crate::screen::Screen;
use crate::terminal;

/// Messages that are read ahead of the connection.
const AHEAD_MAX: usize = 16;

/// The longest binary message that one read makes, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// How the standard input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Lines, as texts.
    Lines,
    /// Keys of a terminal that make lines. Ctrl-C is a close message.
    Keys,
    /// Any bytes, as binary messages.
    Blocks,
}

/// On a thread of its own: a terminal cannot be read without blocking, and nobody waits for the
/// thread when the connection is over.
pub(crate) fn messages(source: Source, screen: Screen) -> mpsc::Receiver<Message> {
    let (sender, messages) = mpsc::channel(AHEAD_MAX);
    std::thread::spawn(move || {
        let send = |message: Message| sender.blocking_send(message).is_ok();
        match source {
            Source::Lines => read_lines(std::io::stdin().lock(), send),
            Source::Keys => read_keys(&screen, send),
            Source::Blocks => read_blocks(std::io::stdin().lock(), send),
        }
    });
    messages
}

fn read_lines(input: impl BufRead, send: impl Fn(Message) -> bool) {
    for line in input.lines() {
        let Ok(line) = line else {
            eprintln!("standard input: not utf-8; --binary takes any bytes");
            return;
        };
        if !send(line.into()) {
            return;
        }
    }
}

fn read_keys(screen: &Screen, send: impl Fn(Message) -> bool) {
    let mut keys = Keys::default();
    for key in terminal::bytes().filter_map(|byte| keys.receive(byte)) {
        let goes_on = match screen.press(key) {
            Ok(Edited::Line) => true,
            Ok(Edited::Done(line)) => send(line.into()),
            Ok(Edited::Interrupted) => {
                send(Message::Close(None));
                false
            }
            Ok(Edited::Ended) | Err(_) => false,
        };
        if !goes_on {
            return;
        }
    }
}

fn read_blocks(mut input: impl Read, send: impl Fn(Message) -> bool) {
    let mut block = vec![0; BLOCK_BYTES];
    while let Ok(len @ 1..) = input.read(&mut block) {
        if !send(block[..len].to_vec().into()) {
            return;
        }
    }
}
