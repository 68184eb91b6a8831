//! Compression between two ends, through every face.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use sockeye::deflate::Deflate;
use sockeye::frame::Opcode;
use sockeye::{
    Acceptor, Config, Connection, Connector, Handler, Message, MessageKind, MessageRef,
    PreparedMessage, Role, Server, WebSocket,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::sync::mpsc;

use crate::support::deflate::{
    Deflating, agree, compressed, config, end, ends, json, messages, noise, tcp,
};
use crate::support::pair::to;
use crate::support::server::within;

/// Settings of all kinds.
fn settings() -> Vec<Deflate> {
    let (keeps, forgets) = (Deflate::context_takeover(), Deflate::no_context());
    let small = |base: Deflate| base.window_bits(9).unwrap().peer_window_bits(10).unwrap();
    vec![
        Deflate::disabled(),
        forgets,
        keeps,
        keeps.own_context(false),
        keeps.peer_context(false),
        small(keeps).level(1).unwrap(),
        small(forgets).threshold(0).unwrap(),
        keeps.window_bits(13).unwrap().threshold(0).unwrap(),
        keeps.peer_window_bits(9).unwrap().level(9).unwrap(),
        forgets.level(1).unwrap().threshold(1000).unwrap(),
    ]
}

/// Takes so many messages, each another way.
async fn take<S>(socket: &mut WebSocket<S>, expected: &[Message])
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    for (number, expected) in expected.iter().enumerate() {
        let message = match number % 3 {
            0 => within(socket.recv()).await.unwrap().unwrap(),
            1 => within(socket.recv_ref()).await.unwrap().unwrap().to_message(),
            _ => {
                let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
                let mut bytes = Vec::new();
                within(reader.read_to_end(&mut bytes)).await.unwrap();
                match reader.kind() {
                    MessageKind::Text => Message::text(String::from_utf8(bytes).unwrap()),
                    _ => Message::binary(bytes),
                }
            }
        };
        same(&message, expected, number);
    }
}

/// Long payloads do not go onto the terminal.
fn same(message: &Message, expected: &Message, number: usize) {
    let lens = (message.as_bytes().len(), expected.as_bytes().len());
    assert!(message == expected, "message {number} of {} bytes came with {}", lens.1, lens.0);
}

/// Sends messages, each another way.
async fn give<S>(socket: &mut WebSocket<S>, messages: &[Message])
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    for (number, message) in messages.iter().enumerate() {
        match number % 4 {
            0 => socket.send(message.clone()).await.unwrap(),
            1 => socket.feed(message.clone()).unwrap(),
            2 => socket.feed_ref(message.as_data().unwrap()).unwrap(),
            _ => {
                socket.feed_prepared(&PreparedMessage::new(message.as_data().unwrap())).unwrap();
                socket.flush().await.unwrap();
            }
        }
    }
    socket.flush().await.unwrap();
}

async fn exchange<S>(streams: (S, S), settings: (&Deflate, &Deflate), messages: &[Message])
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut client, mut server) = ends(streams, settings.0, settings.1);
    tokio::join!(give(&mut client, messages), take(&mut server, messages));
    tokio::join!(give(&mut server, messages), take(&mut client, messages));
    // One and one: what is fed rides along.
    for message in messages.iter().filter(|message| message.as_bytes().len() < 20_000) {
        client.feed(message.clone()).unwrap();
        let one = std::slice::from_ref(message);
        let two = [message.clone(), message.clone()];
        tokio::join!(give(&mut client, one), take(&mut server, &two));
        tokio::join!(give(&mut server, one), take(&mut client, one));
    }
}

/// CP-01, CP-02, CP-04, BY-01: every pair of settings, in memory and on sockets.
#[tokio::test]
async fn pairs_of_settings() {
    let (short, few) = (messages(1024), messages(128));
    let settings = settings();
    for client in &settings {
        for server in &settings {
            let settings = (client, server);
            if client == server {
                exchange(duplex(4096), settings, &short).await;
            } else {
                exchange(tcp().await, settings, &few).await;
            }
        }
    }
}

/// CP-04: long messages, with the settings that differ most.
#[tokio::test]
async fn long_messages() {
    let long = messages(300 * 1024);
    for settings in [Deflate::no_context(), Deflate::context_takeover()] {
        exchange(tcp().await, (&settings, &settings), &long).await;
    }
    let settings = settings()[5];
    exchange(duplex(256 * 1024), (&settings, &settings), &messages(70 * 1024)).await;
}

/// Sends all it has when it is opened, each another way, and keeps what comes.
struct Talker {
    messages: Vec<Message>,
    came: mpsc::UnboundedSender<Message>,
}

impl Handler for Talker {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        for (number, message) in self.messages.iter().enumerate() {
            let data = message.as_data().unwrap();
            match number % 3 {
                0 => connection.send(data).unwrap(),
                1 => connection.send_owned(message).unwrap(),
                _ => connection.send_prepared(&PreparedMessage::new(data)).unwrap(),
            }
        }
    }

    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        self.came.send(message.to_message()).unwrap();
    }
}

/// CP-02, CP-04: handlers on both ends.
#[tokio::test]
async fn handlers() {
    let all = messages(16 * 1024);
    for settings in settings() {
        for is_tcp in [false, true] {
            let talk = |came| Talker { messages: all.clone(), came };
            let ((up, mut from_up), (down, mut from_down)) =
                (mpsc::unbounded_channel(), mpsc::unbounded_channel());
            if is_tcp {
                let (client, server) = ends(tcp().await, &settings, &settings);
                tokio::spawn(client.run(talk(up)));
                tokio::spawn(server.run(talk(down)));
            } else {
                let (client, server) = ends(duplex(100_000), &settings, &settings);
                tokio::spawn(client.run(talk(up)));
                tokio::spawn(server.run(talk(down)));
            }
            for (number, message) in all.iter().enumerate() {
                same(&within(from_up.recv()).await.unwrap(), message, number);
                same(&within(from_down.recv()).await.unwrap(), message, number);
            }
        }
    }
}

/// CP-02, CP-04: senders of a connection that is split.
#[tokio::test]
async fn senders() {
    for settings in settings() {
        let is_kept = settings.keeps_own_context() && settings.compression_level() == 5;
        let all = messages(if is_kept { 70 * 1024 } else { 1024 });
        let (client, server) = ends(tcp().await, &settings, &settings);
        let (client, server) = (client.split(), server.split());
        let mut directions = [(client.0, server.1), (server.0, client.1)];
        for (sender, receiver) in &mut directions {
            for (number, message) in all.iter().enumerate() {
                let data = message.as_data().unwrap();
                match number % 4 {
                    0 => sender.try_send(message.clone()).unwrap(),
                    1 => sender.feed(data).unwrap(),
                    2 => sender.send(message.clone()).await.unwrap(),
                    _ => sender.try_send_prepared(&PreparedMessage::new(data)).unwrap(),
                };
                if number % 4 == 1 {
                    sender.send("nudge").await.unwrap();
                }
                same(&within(receiver.recv()).await.unwrap().unwrap(), message, number);
                if number % 4 == 1 {
                    let nudge = within(receiver.recv()).await.unwrap().unwrap();
                    same(&nudge, &Message::text("nudge"), number);
                }
            }
        }
    }
}

/// BY-06, HB-05, CP-02: a room whose members agreed on all kinds of things hears the same, while each is
/// told something of its own.
#[cfg(feature = "hub")]
#[tokio::test]
async fn rooms() {
    let hub = sockeye::hub::Hub::new();
    let room = hub.room("a");
    let (mut members, mut peers) = (Vec::new(), Vec::new());
    for settings in settings() {
        let (client, server) = ends(tcp().await, &settings, &settings);
        let sender = server.sender();
        let silent = Talker { messages: Vec::new(), came: mpsc::unbounded_channel().0 };
        tokio::spawn(server.run(silent));
        members.push((room.join(sender.clone()).unwrap(), sender));
        peers.push(client);
    }
    for number in 0..60 {
        let said = json(100 + 61 * number, number % 4);
        let own = |member: usize| format!("{member} {}", json(700, number % 3));
        let burst = 1 + number % 3;
        for (member, (_, sender)) in members.iter().enumerate() {
            sender.try_send(own(member).as_str()).unwrap();
        }
        for _ in 0..burst {
            room.ready().await;
            room.broadcast(said.as_str()).unwrap();
        }
        for (member, peer) in peers.iter_mut().enumerate() {
            let first = within(peer.recv()).await.unwrap().unwrap();
            same(&first, &Message::text(own(member)), number);
            for _ in 0..burst {
                let heard = within(peer.recv()).await.unwrap().unwrap();
                same(&heard, &Message::text(said.clone()), number);
            }
        }
    }
}

/// BY-06: a shared frame between messages of one's own, to a peer that keeps its window.
#[tokio::test]
async fn shared_frames_between_own_ones() {
    let keeps = Deflate::context_takeover();
    let (client, server) = ends(tcp().await, &keeps, &keeps);
    let (mut client, (sender, _receiver)) = (client, server.split());
    let own = noise(3000, 1);
    for number in 0..30_u8 {
        // What it shares with the messages before lies just behind what the shared frame moved.
        sender.try_send(Message::binary([&own[..], &[number]].concat())).unwrap();
        let prepared = PreparedMessage::new(&*json(5000, number.into()));
        if number % 3 == 2 {
            sender.try_send_prepared(&prepared).unwrap();
        }
        let message = within(client.recv()).await.unwrap().unwrap();
        assert!(message == Message::binary([&own[..], &[number]].concat()), "message {number}");
        if number % 3 == 2 {
            let message = within(client.recv()).await.unwrap().unwrap();
            assert!(message.as_bytes() == prepared.payload(), "shared {number}");
        }
    }
}

/// CP-02, BY-06: the connection itself, its senders, shared frames and messages that are written piece
/// by piece take turns with one window.
#[tokio::test]
async fn ways_take_turns() {
    let keeps = Deflate::context_takeover();
    for is_client in [false, true] {
        let (client, server) = ends(tcp().await, &keeps, &keeps);
        let (mut from, mut to) = if is_client { (client, server) } else { (server, client) };
        let sender = from.sender();
        for number in 0..60_usize {
            let text = json(900 + number, number % 2);
            match number * 7 % 5 {
                0 => from.feed(text.as_str()).unwrap(),
                1 => assert!(sender.feed(text.as_str()).is_ok()),
                2 => assert!(sender.try_send(text.as_str()).is_ok()),
                3 => from.feed_prepared(&PreparedMessage::new(text.as_str())).unwrap(),
                _ => {
                    let mut writer = from.send_stream(MessageKind::Text).unwrap();
                    writer.write_all(text.as_bytes()).await.unwrap();
                    writer.shutdown().await.unwrap();
                }
            }
            from.flush().await.unwrap();
            let message = within(to.recv()).await.unwrap().unwrap();
            same(&message, &Message::text(text), number);
        }
    }
}

/// BY-06, CP-02: a shared message stays within the window of each peer it is sent to, alone and in a room.
#[cfg(feature = "hub")]
#[tokio::test]
async fn shared_windows_are_kept() {
    use crate::support::deflate::{Inflating, farthest_match};
    use crate::support::io::RawPeer;

    let text = noise(3000, 5).iter().map(|byte| char::from(b'a' + byte % 16)).collect::<String>();
    let text = text.repeat(2);
    let message = PreparedMessage::new(&*text);
    let room = sockeye::hub::Hub::new().room("a");
    let keeps = Deflate::context_takeover();
    let (mut members, mut peers) = (Vec::new(), Vec::new());
    for (number, bits) in [15, 9, 10, 15, 9].into_iter().enumerate() {
        let (ours, theirs) = tcp().await;
        let settings = keeps.window_bits(bits).unwrap();
        let (_, server) = ends((tcp().await.0, ours), &keeps, &settings);
        if number < 3 {
            server.sender().try_send_prepared(&message).unwrap();
        }
        members.push((
            room.join(server.sender()).unwrap(),
            tokio::spawn(server.run(Keeper::default())),
        ));
        peers.push((RawPeer::client(theirs), bits, number < 3));
    }
    room.broadcast(&*text).unwrap();
    for (peer, bits, is_told) in &mut peers {
        let mut inflating = Inflating::new(15);
        for _ in 0..1 + usize::from(*is_told) {
            let frame = within(peer.data()).await.unwrap();
            assert!(frame.rsv1 && frame.fin);
            let farthest = farthest_match(&frame.payload);
            assert!(farthest <= 1 << *bits, "{bits} bits: {farthest} back");
            assert_eq!(farthest == 3000, *bits == 15, "{bits} bits: {farthest} back");
            assert_eq!(inflating.message(&frame.payload).as_deref(), Some(text.as_bytes()));
        }
    }
}

/// CP-01, CP-02, HS-08: what is agreed on over a real handshake, and that nothing is by default.
#[tokio::test]
async fn handshakes_agree() {
    for (client, server) in
        settings().iter().flat_map(|client| settings().into_iter().map(|server| (*client, server)))
    {
        let listener = Server::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.acceptor(Acceptor::new(config(server)));
        let serving = tokio::spawn(listener.serve(|mut socket, _| async move {
            while let Ok(Some(message)) = socket.recv().await {
                socket.send(message).await.unwrap();
            }
        }));
        let connector = Connector::new(config(client));
        let mut socket = connector.connect(&format!("ws://{address}/")).await.unwrap();
        let header = socket.response().unwrap().headers().get("sec-websocket-extensions").cloned();
        assert_eq!(header.is_some(), agree(&client, &server).is_some());
        for message in messages(128) {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(within(socket.recv()).await.unwrap(), Some(message));
        }
        serving.abort();
    }
    assert_eq!(Config::default().deflate, Deflate::disabled());
}

/// Keeps what comes, as it lies there.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<VecDeque<Message>>>);

impl Handler for Keeper {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        self.0.lock().unwrap().push_back(message.to_message());
        if message.as_bytes().len() > 3 {
            // Compresses while what was inflated is lent.
            connection.send(message).unwrap();
        }
    }
}

/// CP-04, BY-02: a handler that answers from where the message lies.
#[tokio::test]
async fn answers_while_a_message_is_lent() {
    for settings in settings() {
        let (mut client, server) = ends(tcp().await, &settings, &settings);
        let keeper = Keeper::default();
        tokio::spawn(server.run(keeper.clone()));
        let all = messages(16 * 1024);
        let echoes: Vec<_> = all.iter().filter(|m| m.as_bytes().len() > 3).cloned().collect();
        for message in &all {
            client.feed(message.clone()).unwrap();
        }
        take(&mut client, &echoes).await;
        for (number, message) in all.iter().enumerate() {
            same(&keeper.0.lock().unwrap().pop_front().unwrap(), message, number);
        }
    }
}

/// BY-01: two connections that share the thread's coders do not see each other's messages.
#[tokio::test]
async fn connections_in_turns() {
    for settings in [Deflate::no_context(), Deflate::context_takeover()] {
        let mut pairs = Vec::new();
        for seed in 0..4 {
            let mut peer = Deflating::new(6, 15);
            let parts: Vec<Vec<u8>> = (0..6)
                .map(|number| {
                    let payload = peer.message(&noise(50 + number, seed).repeat(9));
                    if !settings.keeps_peer_context() {
                        peer = Deflating::new(6, 15);
                    }
                    to(Role::Server, &[compressed(Opcode::Binary, payload)])
                })
                .collect();
            pairs.push((end(Role::Server, &settings, &settings), parts, seed));
        }
        for number in 0..6 {
            for at in 0..2 {
                for (end, parts, seed) in &mut pairs {
                    // Halves of messages in turns.
                    let part = &parts[number];
                    let (first, second) = part.split_at(part.len() / 2);
                    let seen = end.receive(if at == 0 { first } else { second });
                    let whole =
                        crate::support::pair::Seen::Binary(noise(50 + number, *seed).repeat(9));
                    assert_eq!(seen, if at == 0 { vec![] } else { vec![whole] });
                }
            }
        }
    }
}
