//! The standard input, as messages.

use std::io::{BufRead, Read};

use sockeye::Message;
use tokio::sync::mpsc;

/// Messages that are read ahead of the connection.
const AHEAD_MAX: usize = 16;

/// The longest binary message that one read makes, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// On a thread of its own: a terminal cannot be read without blocking, and nobody waits for the
/// thread when the connection is over.
pub(crate) fn messages(is_binary: bool) -> mpsc::Receiver<Message> {
    let (sender, messages) = mpsc::channel(AHEAD_MAX);
    std::thread::spawn(move || {
        let send = |message: Message| sender.blocking_send(message).is_ok();
        let input = std::io::stdin().lock();
        if is_binary { read_blocks(input, send) } else { read_lines(input, send) }
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

fn read_blocks(mut input: impl Read, send: impl Fn(Message) -> bool) {
    let mut block = vec![0; BLOCK_BYTES];
    while let Ok(len @ 1..) = input.read(&mut block) {
        if !send(block[..len].to_vec().into()) {
            return;
        }
    }
}
