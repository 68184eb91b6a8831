//! What a handler sends itself, long and short, beside what others send to the same connection.

#![cfg(feature = "hub")]

use std::collections::VecDeque;

use sockeye::deflate::Deflate;
use sockeye::hub::Hub;
use sockeye::testing::Chance;
use sockeye::{Connection, Handler, Message, MessageRef, PreparedMessage, Sender, WebSocket};
use tokio::net::TcpStream;

use crate::support::deflate::{config, ends_of};
use crate::support::server::within;
use crate::support::streams::narrow_tcp;

#[derive(Clone, Copy, Debug)]
enum Way {
    Own,
    Owned,
    Prepared,
    Sender,
    Feed,
    Ping,
}

const WAYS: [Way; 6] = [Way::Own, Way::Owned, Way::Prepared, Way::Sender, Way::Feed, Way::Ping];

/// Around what is copied, what is one fragment, and more than the kernel takes.
const LENS: [usize; 9] = [0, 10, 1000, 16_384, 20_000, 65_536, 65_537, 140_000, 300_000];

const TURNS: usize = 12;

/// Who says it, its number, how long it is.
fn text(by: usize, number: usize, len: usize) -> String {
    let mut text = format!("{by} {number} {len} ");
    while text.len() < len {
        text.push_str(&format!("{:x} ", text.len() * (number + 7)));
    }
    text
}

/// With each message that comes it sends those of a turn.
struct Acting {
    turns: VecDeque<Vec<(Way, usize)>>,
    /// So many it has sent itself, and others have.
    counts: [usize; 2],
    sender: Sender,
}

impl Handler for Acting {
    fn on_message(&mut self, connection: &mut Connection<'_>, _: MessageRef<'_>) {
        for (way, len) in self.turns.pop_front().expect("a turn") {
            let by = usize::from(matches!(way, Way::Sender | Way::Feed));
            let text = text(by, self.counts[by], len);
            self.counts[by] += 1;
            match way {
                Way::Own => connection.send(&*text).unwrap(),
                Way::Owned => connection.send_owned(&Message::text(text)).unwrap(),
                Way::Prepared => connection.send_prepared(&PreparedMessage::new(&*text)).unwrap(),
                Way::Sender => drop(self.sender.try_send(text).unwrap()),
                Way::Feed => drop(self.sender.feed(&*text).unwrap()),
                Way::Ping => {
                    self.counts[by] -= 1;
                    connection.send_owned(&Message::Ping("between".into())).unwrap();
                }
            }
        }
    }
}

/// The next is the one of its sender that comes next, and whole.
async fn read(peer: &mut WebSocket<TcpStream>, seen: &mut [usize; 2]) {
    let message = within(peer.recv()).await.unwrap().unwrap();
    let came = message.as_text().unwrap();
    let mut words = came.split(' ').map(|word| word.parse().unwrap());
    let (by, number, len): (usize, usize, usize) =
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    assert_eq!(number, seen[by], "of {by}");
    assert!(came == text(by, number, len), "{by} {number} {len}");
    seen[by] += 1;
}

/// BY-05, MS-02, CN-04: whatever a handler sends, and others beside it, comes once, whole, in the order of whoever sent it, wherever
/// the kernel cuts; and is counted once.
#[tokio::test]
async fn all_of_it_comes_in_order() {
    for (seed, deflate) in (0..4).flat_map(|seed| {
        [Deflate::disabled(), Deflate::no_context(), Deflate::context_takeover()]
            .map(|deflate| (seed, deflate))
    }) {
        let mut chance = Chance::new(seed);
        let mut settings = config(deflate);
        (settings.outbox_messages_max, settings.outbox_bytes_max) = (100_000, 64 << 20);
        let hub = Hub::builder().config(settings).build().unwrap();
        let (mut peer, member) = ends_of(narrow_tcp().await, (**hub.config()).clone());
        let turns: Vec<Vec<_>> = (0..TURNS)
            .map(|_| {
                let mut pick = |count: usize| chance.below(count as u64) as usize;
                (0..1 + pick(8)).map(|_| (WAYS[pick(6)], LENS[pick(9)])).collect()
            })
            .collect();
        let messages = turns.iter().flatten().filter(|(way, _)| !matches!(way, Way::Ping)).count();
        let sender = member.sender();
        let acting = Acting { turns: turns.clone().into(), counts: [0; 2], sender };
        let driver = tokio::spawn(member.run(acting));
        let mut seen = [0; 2];
        let mut sent = 0;
        for turn in turns {
            peer.send("go").await.unwrap();
            sent += turn.iter().filter(|(way, _)| !matches!(way, Way::Ping)).count();
            // All that is there, or some.
            let wanted = if chance.below(3) == 0 { sent } else { seen[0] + seen[1] + 1 };
            while seen[0] + seen[1] < wanted.min(sent) {
                read(&mut peer, &mut seen).await;
            }
        }
        while seen[0] + seen[1] < messages {
            read(&mut peer, &mut seen).await;
        }
        peer.close(1000, "").await.unwrap();
        within(driver).await.unwrap();
        // Both ends have this hub's settings, and so its counters.
        let all = (messages + TURNS) as u64;
        let metrics = hub.metrics();
        assert_eq!((metrics.messages_sent, metrics.messages_delivered), (all, all));
    }
}
