//! Events: reading, writing, and all that is done about one between the bytes of a connection.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::app::event::{Codec, Event};
use sockeye::app::{App, Context};
use sockeye::{Connector, Server};

#[derive(Deserialize, Serialize)]
struct Say {
    room: String,
    text: String,
}

/// An envelope whose payload is known: what a parser can do at best.
#[derive(Deserialize, Serialize)]
struct Typed {
    v: String,
    e: String,
    p: Say,
    c: Option<String>,
}

/// Messages that are under way at a time.
const BATCH: usize = 64;

fn reading_and_writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(1));
    let payload = json!({"room": "lobby", "text": "x".repeat(64)});
    let event = Event::new("chat.message", &payload).unwrap().with_correlation_id("c1").unwrap();
    for (name, codec) in [("envelope", Codec::Envelope), ("tagged", Codec::Tagged)] {
        let text = codec.encode(&event).unwrap();
        group.bench_function(format!("read/{name}"), |bencher| {
            bencher.iter(|| {
                codec.parse(black_box(&text)).map(|event| event.correlation_id().is_some())
            });
        });
        group.bench_function(format!("read with payload/{name}"), |bencher| {
            bencher.iter(|| codec.parse(black_box(&text)).unwrap().payload::<Say>().unwrap());
        });
        group.bench_function(format!("write/{name}"), |bencher| {
            bencher.iter(|| codec.encode(black_box(&event)).unwrap());
        });
    }
    // What a program does without the codecs.
    let text = event.to_json();
    group.bench_function("read with payload/as a type", |bencher| {
        bencher.iter(|| serde_json::from_str::<Typed>(black_box(&text)).unwrap());
    });
    let typed: Typed = serde_json::from_str(&text).unwrap();
    group.bench_function("write/as a type", |bencher| {
        bencher.iter(|| serde_json::to_string(black_box(&typed)).unwrap());
    });
    group.bench_function("read with payload/as a value", |bencher| {
        bencher.iter(|| {
            let mut event: Value = serde_json::from_str(black_box(&text)).unwrap();
            serde_json::from_value::<Say>(event["p"].take()).unwrap()
        });
    });
    group.finish();
}

/// Client and server share a thread: both ends' work for each event, and the kernel's.
fn dispatch(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = App::new().host("127.0.0.1").port(0).on("echo", async |_: Context, say: Say| say);
    let running = runtime.block_on(app.start()).unwrap();
    let echo = runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(server.serve(|mut socket, _| async move {
            while let Ok(Some(message)) = socket.recv().await {
                if socket.feed(message).is_err() {
                    break;
                }
            }
        }));
        address
    });
    let text =
        json!({"v": "1.0", "e": "echo", "p": {"room": "lobby", "text": "x".repeat(64)}, "c": "c1"});
    let text = text.to_string();
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(BATCH as u64));
    let sites = [
        ("event", format!("ws://{}/ws", running.local_addrs()[0])),
        ("plain echo", format!("ws://{echo}/")),
    ];
    for (name, url) in sites {
        let connector = Connector::new(sockeye::Config::default());
        let mut socket = runtime.block_on(connector.connect(&url)).unwrap();
        if name == "event" {
            runtime.block_on(socket.recv()).unwrap();
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(round(&mut socket, &text)));
        });
    }
    group.finish();
}

async fn round(socket: &mut sockeye::WebSocket<sockeye::NetStream>, text: &str) {
    for _ in 0..BATCH {
        socket.feed_ref(text).unwrap();
    }
    socket.flush().await.unwrap();
    let mut answers = 0;
    while answers < BATCH {
        let message = socket.recv().await.unwrap().unwrap();
        // Acknowledgements are none.
        answers += usize::from(message.as_bytes().len() > 100);
    }
}

criterion_group!(benches, reading_and_writing, dispatch);
criterion_main!(benches);
