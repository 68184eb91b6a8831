//! A fixed number of messages in memory, for a counter of instructions: `.ci/counts` runs each case under
//! callgrind and sets the count beside `benches/instructions.txt`. A count does not drift as a time does.
//!
//! `instructions` lists the cases, `instructions NAME` runs one: its preparation, then [`counted_part`], which
//! is all that is counted. Without a counter it only runs.

#[path = "support/echo.rs"]
mod echo;
#[path = "support/json.rs"]
mod json;

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use sockeye::app::event::{Codec, Event};
use sockeye::deflate::{DeflateParams, Deflater};
use sockeye::frame::{Frame, MaskingKeys};
use sockeye::handshake::{Acceptance, HeadLimits, HeadReader, Upgrade};
use sockeye::hub::{Except, Hub};
use sockeye::protocol::{Encoder, Role, WriteBuffer};
use sockeye::{Config, Deflate, Message, MessageRef, PreparedMessage, Sender, WebSocket};

use echo::{Driven, Face, Ignore, masked};

/// What is counted, ready to run, and how many messages it is.
struct Prepared {
    run: Box<dyn FnMut()>,
    messages: usize,
}

type Case = (&'static str, fn() -> Prepared);

/// Every case: what is one message in it stands in its name.
const CASES: &[Case] = &[
    ("echo_handler_16x64", || echo_of(Face::Handler, &Frame::binary(vec![7; 16]), 64)),
    ("echo_borrowed_16x64", || echo_of(Face::Borrowed, &Frame::binary(vec![7; 16]), 64)),
    ("echo_owned_16x64", || echo_of(Face::Owned, &Frame::binary(vec![7; 16]), 64)),
    ("echo_handler_16x1", || echo_of(Face::Handler, &Frame::binary(vec![7; 16]), 1)),
    ("echo_borrowed_16x1", || echo_of(Face::Borrowed, &Frame::binary(vec![7; 16]), 1)),
    ("echo_owned_16x1", || echo_of(Face::Owned, &Frame::binary(vec![7; 16]), 1)),
    ("echo_handler_text_1kx16", || echo_of(Face::Handler, &Frame::text(&"x".repeat(1024)), 16)),
    ("echo_handler_16kx4", || echo_of(Face::Handler, &Frame::binary(vec![7; 16 * 1024]), 4)),
    ("echo_deflate_1k", echo_deflate),
    ("try_send_64x64", || sends(|sender, owned, _| _ = sender.try_send(owned.clone()))),
    ("try_send_prepared_64x64", || sends(|sender, _, one| _ = sender.try_send_prepared(one))),
    ("delivery_64_to_100", deliveries),
    ("client_encode_125", client_encode),
    ("event_read", event_read),
    ("event_write", event_write),
    ("handshake_server", handshake),
];

fn main() {
    let wanted = std::env::args().nth(1).filter(|name| !name.starts_with("--"));
    for (name, prepare) in CASES {
        match &wanted {
            None => println!("{name}"),
            Some(wanted) if wanted == name => {
                let mut prepared = prepare();
                // Buffers that are kept have their size.
                (prepared.run)();
                counted_part(&mut *prepared.run);
                println!("{name}: {} messages", prepared.messages);
                return;
            }
            Some(_) => {}
        }
    }
    assert!(wanted.is_none(), "no case is called {wanted:?}");
}

/// The counter is on between the beginning and the end of this function, which it knows by its name.
#[inline(never)]
fn counted_part(run: &mut dyn FnMut()) {
    run();
    // Behind it, so that the call above is no jump out of here.
    black_box(());
}

const TURNS: usize = 100;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Turns of a connection on a runtime that is entered.
fn turns(per_turn: usize, make: impl FnOnce() -> Driven) -> Prepared {
    let runtime = runtime();
    let inside = runtime.enter();
    let mut driven = make();
    drop(inside);
    let run = move || {
        let _inside = runtime.enter();
        (0..TURNS).for_each(|_| driven.turn());
    };
    Prepared { run: Box::new(run), messages: TURNS * per_turn }
}

fn echo_of(face: Face, frame: &Frame, in_flight: usize) -> Prepared {
    let read = masked(frame, in_flight);
    turns(in_flight, || Driven::echo(face, read))
}

/// JSON in, inflated, deflated, JSON out, without context.
fn echo_deflate() -> Prepared {
    const BATCH: u64 = 8;
    let mut read = Vec::new();
    let mut deflater = Deflater::new(6, 15);
    for seed in 0..BATCH {
        let mut payload = Vec::new();
        deflater.reset();
        deflater.finish(&json::message(seed, 1024), &mut payload);
        let mut frame = Frame::text("");
        frame.payload = Bytes::from(payload);
        frame.rsv1 = true;
        read.extend(masked(&frame, 1));
    }
    let params = DeflateParams {
        own_no_context: true,
        peer_no_context: true,
        own_window_bits: 15,
        peer_window_bits: 15,
    };
    turns(BATCH as usize, || {
        Driven::new(read, |belt| {
            let mut config = Config::default();
            config.deflate = Deflate::no_context();
            let socket = WebSocket::from_stream(belt, Role::Server, &Arc::new(config));
            echo::echo(Face::Handler, socket.with_deflate(&params))
        })
    })
}

/// A connection that only sends, and its sender.
fn quiet_connection(config: &Arc<Config>) -> (Driven, Sender) {
    let mut sender = None;
    let driven = Driven::new(Vec::new(), |belt| {
        let socket = WebSocket::from_stream(belt, Role::Server, config);
        sender = Some(socket.sender());
        let driver = socket.run(Ignore);
        Box::pin(async move { drop(driver.await) })
    });
    (driven, sender.expect("a sender"))
}

fn sends(send: fn(&Sender, &Message, &PreparedMessage)) -> Prepared {
    const BATCH: usize = 64;
    let runtime = runtime();
    let inside = runtime.enter();
    let (mut driven, sender) = quiet_connection(&Arc::new(Config::default()));
    drop(inside);
    let owned = Message::Binary(Bytes::from(vec![7; 64]));
    let prepared = PreparedMessage::new(&[7; 64][..]);
    let run = move || {
        let _inside = runtime.enter();
        for _ in 0..TURNS {
            (0..BATCH).for_each(|_| send(&sender, &owned, &prepared));
            driven.poll();
        }
    };
    Prepared { run: Box::new(run), messages: TURNS * BATCH }
}

/// From the publisher to the last member's stream.
fn deliveries() -> Prepared {
    const MEMBERS: usize = 100;
    let runtime = runtime();
    let inside = runtime.enter();
    let room = Hub::new().room("lobby");
    let config = Arc::new(Config::default());
    let connections = (0..MEMBERS).map(|_| quiet_connection(&config));
    let (mut members, senders): (Vec<_>, Vec<_>) = connections.unzip();
    let join = |sender| room.join(sender).expect("a room without bounds");
    let memberships: Vec<_> = senders.into_iter().map(join).collect();
    members.iter_mut().for_each(Driven::poll);
    drop(inside);
    runtime.block_on(room.members());
    let run = move || {
        black_box(&memberships);
        for _ in 0..TURNS / 10 {
            let reporting = room.broadcast_reported(&[7; 64][..], Except::nobody());
            runtime.block_on(reporting.expect("the queue has room"));
            let _inside = runtime.enter();
            members.iter_mut().for_each(Driven::poll);
        }
    };
    Prepared { run: Box::new(run), messages: TURNS / 10 * MEMBERS }
}

fn repeated(mut one: impl FnMut() + 'static) -> Prepared {
    Prepared { run: Box::new(move || (0..TURNS).for_each(|_| one())), messages: TURNS }
}

fn client_encode() -> Prepared {
    let mut encoder = Encoder::with_keys(MaskingKeys::from_seed([7; 32]));
    let mut out = WriteBuffer::new();
    repeated(move || {
        encoder.message(black_box(MessageRef::Binary(&[7; 125])), &mut out);
        out.advance(out.len());
    })
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Say {
    room: String,
    text: String,
}

fn event() -> Event {
    let payload = json!({"room": "lobby", "text": "x".repeat(64)});
    let event = Event::new("chat.message", &payload).expect("an object");
    event.with_correlation_id("c1").expect("a short id")
}

fn event_read() -> Prepared {
    let text = event().to_json();
    repeated(move || {
        let event = Codec::Envelope.parse(black_box(&text)).expect("an event");
        black_box(event.payload::<Say>().expect("what was said"));
    })
}

fn event_write() -> Prepared {
    let event = event();
    repeated(move || drop(black_box(Codec::Envelope.encode(black_box(&event)))))
}

fn handshake() -> Prepared {
    const REQUEST: &[u8] = b"GET /chat?room=lobby HTTP/1.1\r\nHost: chat.example.com\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://chat.example.com\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
        Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    repeated(|| {
        let mut reader = HeadReader::new(HeadLimits::default());
        assert_eq!(reader.receive(black_box(REQUEST)).expect("a head"), Some(REQUEST.len()));
        let request = reader.request().expect("a request");
        let upgrade = Upgrade::from_request(&request).expect("an upgrade");
        let negotiated = upgrade.accept(Acceptance::default()).expect("an answer");
        let mut bytes = Vec::with_capacity(256);
        negotiated.encode(&mut bytes);
        black_box(bytes);
    })
}
