//! One stream, cut in different ways: the same events, the same end, the same output. And whatever
//! comes, the output is lawful. One of the limits announced is far beyond what the fuzzer may
//! allocate: memory that follows a header shows there.

use std::sync::Arc;

use sockeye::protocol::{CloseOutcome, Config, Role, State, WriteBuffer};

use super::source::{Source, pieces};
use super::wire::{Seen, assert_lawful, endpoint};

/// A byte of role and limits, a byte of cuts, then the stream.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed) = (source.byte(), source.byte());
    let stream = source.rest();
    let role = if choice & 1 == 0 { Role::Client } else { Role::Server };
    let config = Arc::new(config(choice));
    let whole = trace(role, &config, &[stream]);
    assert_eq!(whole, trace(role, &config, &pieces(stream, seed)), "in pieces");
    assert_eq!(whole, trace(role, &config, &pieces(stream, 1)), "byte by byte");
}

fn config(choice: u8) -> Config {
    let mut config = Config::default();
    config.message_bytes_max = [1 << 30, 4096, 300, 5][usize::from(choice >> 1 & 3)];
    config.frame_bytes_max = [None, Some(200)][usize::from(choice >> 3 & 1)];
    config.fragments_max = [131_072, 5][usize::from(choice >> 4 & 1)];
    config.empty_fragments_max = [64, 2][usize::from(choice >> 5 & 1)];
    config.pings_per_second_max = [100, 3][usize::from(choice >> 6 & 1)];
    config
}

#[derive(Debug, PartialEq)]
struct Trace {
    seen: Vec<Seen>,
    outcome: Option<CloseOutcome>,
    written: Vec<u8>,
}

fn trace(role: Role, config: &Arc<Config>, blocks: &[&[u8]]) -> Trace {
    let mut endpoint = endpoint(role, config);
    let (mut out, mut seen) = (WriteBuffer::new(), Vec::new());
    for block in blocks {
        let (mut block, mut at) = (block.to_vec(), 0);
        loop {
            let before = at;
            let event = endpoint.receive(&mut block, &mut at, &mut out, 0).map(Seen::from);
            let Some(event) = event else { break };
            assert!(at > before || event == Seen::Closed, "an event that took nothing");
            assert_ne!(seen.last(), Some(&Seen::Closed), "an event after the end");
            seen.push(event);
        }
        assert_eq!(at, block.len(), "all is taken");
    }
    let written = out.into_vec();
    assert_lawful(&written, role);
    assert_eq!(endpoint.state() == State::Closed, seen.last() == Some(&Seen::Closed));
    Trace { seen, outcome: endpoint.outcome().cloned(), written }
}
