//! Floor 8: NATS as the broker, the real program and fakes of it. One that is not there is told loudly, and is a failure
//! where `SOCKEYE_ALL_PROGRAMS` is set.

#![cfg(all(unix, feature = "nats"))]

use std::collections::HashSet;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use sockeye::NetStream;
use sockeye::client::{BoxFuture, Dial};
use sockeye::pubsub::nats::Nats;
use sockeye::pubsub::{Broker, Bus, BusError, BusState, Incoming, PubSubError, PubSubErrorKind};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::brokers::{
    down_at_start, down_by, kill_under_load, many_channels_again, stand_still,
};
use crate::support::nats::{Fake, INFO, LOGIN, PASSWORD, Server, USER, broker_at};
use crate::support::pubsub::{
    SOON, config, conforms, gap_after, is_down, is_up, listening, message,
};
use crate::support::relay::{Mode, Relay};
use crate::support::server::within;
use sockeye::testing::FaultyBroker;

/// SC-03, BY-40, A28, A29: NATS keeps what every broker has to keep, with names that mean something to it, too.
#[tokio::test]
async fn nats_conforms() {
    let Some(server) = Server::start(LOGIN).await else { return };
    conforms(server.broker()).await;
}

/// A25, row 70: a cut, and a restart without data, are one gap each, and subscriptions are there again.
#[tokio::test]
async fn a25_cut_and_restart() {
    let Some(mut server) = Server::start(LOGIN).await else { return };
    let faulty = FaultyBroker::new(server.broker(), 1);
    gap_after(faulty.clone(), async || faulty.cut()).await;
    let broker = server.broker();
    gap_after(broker, async || {
        server.program.kill();
        server.program.run().await;
    })
    .await;
}

#[tokio::test]
async fn a23_kill_under_load() {
    let Some(mut server) = Server::start(LOGIN).await else { return };
    let broker = server.broker();
    kill_under_load(&mut server.program, broker).await;
}

#[tokio::test]
async fn a24_stand_still() {
    let Some(server) = Server::start(LOGIN).await else { return };
    stand_still(&server.program, server.broker()).await;
}

#[tokio::test]
async fn a26_many_channels_again() {
    let Some(mut server) = Server::start(LOGIN).await else { return };
    many_channels_again(&mut server.program, broker_at, "\r\nPING\r\n").await;
}

#[tokio::test]
async fn a60_down_at_start() {
    let Some(mut server) = Server::start(LOGIN).await else { return };
    let broker = server.broker();
    down_at_start(&mut server.program, broker).await;
}

/// A55: what is longer than the server takes is refused at once; where the server was told to take less meanwhile, it cuts
/// the connection, and what comes after it is refused.
#[tokio::test]
async fn a55_max_payload() {
    // Without users: a server that takes new settings cuts those who have shown a password.
    let settings = |max: usize| format!("max_payload: {max}\n");
    let Some(server) = Server::start(&settings(1000)).await else { return };
    let broker = Nats::new(&server.address().to_string()).unwrap();
    let (bus, mut events) = listening(broker, config(), &["c"]).await;
    let refused = bus.publish("c", vec![b'x'; 1001]);
    assert_eq!(refused, Err(BusError::TooLong { bytes: 1001, max: 1000 }));
    bus.publish("c", vec![b'x'; 1000]).unwrap();
    assert_eq!(message(&mut events).await.1.len(), 1000);
    server.reload(&settings(500), "\"max_payload\":500").await;
    bus.publish("c", vec![b'x'; 800]).unwrap();
    assert_eq!(down_by(&bus).await, PubSubErrorKind::Lost);
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    let refused = bus.publish("c", vec![b'x'; 800]);
    assert_eq!(refused, Err(BusError::TooLong { bytes: 800, max: 500 }));
    bus.publish("c", vec![b'x'; 500]).unwrap();
    assert_eq!(message(&mut events).await.1.len(), 500);
    assert_eq!((bus.counters().lost_out, bus.counters().dropped_out), (1, 2));
}

/// A56, A27, row 71: a server cuts who reads too slowly: what came until then is in order, then there is a gap, and it goes
/// on.
#[tokio::test]
async fn a56_slow_consumer() {
    const MESSAGES: usize = 48;
    let settings = format!("{LOGIN}max_pending: 2000000\nwrite_deadline: \"300ms\"\n");
    let Some(server) = Server::start(&settings).await else { return };
    let relay = Relay::start(server.address(), Vec::new()).await;
    let (bus, mut events) = listening(broker_at(relay.address), config(), &["c"]).await;
    let mut large = config();
    large.outgoing_bytes_max = 100_000_000;
    let (publisher, _) = Bus::start(server.broker(), large);
    is_up(&publisher).await;
    relay.set(Mode::Hold);
    for number in 0..MESSAGES {
        let mut payload = vec![b' '; 1_000_000];
        payload[..2].copy_from_slice(format!("{number:02}").as_bytes());
        publisher.publish("c", payload).unwrap();
    }
    // More than the server and the system hold for who does not read: it has been cut by then.
    within(async {
        while publisher.counters().published < MESSAGES as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    relay.set(Mode::Forward);
    let mut count = 0;
    while let Some(Incoming::Message(message)) = within(events.next()).await {
        assert_eq!(message.payload[..2], *format!("{count:02}").as_bytes());
        count += 1;
    }
    assert!(count < MESSAGES, "nothing was lost");
    publisher.publish("c", "after").unwrap();
    assert_eq!(message(&mut events).await.1, "after");
    assert_eq!((bus.counters().gaps, publisher.counters().gaps), (1, 0));
}

/// A57: a server in lame duck mode is left while it still runs, for another one of the list.
#[tokio::test]
async fn a57_lame_duck() {
    let settings =
        format!("{LOGIN}lame_duck_grace_period: \"600s\"\nlame_duck_duration: \"700s\"\n");
    let Some(mut one) = Server::start(&settings).await else { return };
    let Some(mut other) = Server::start(LOGIN).await else { return };
    other.program.kill();
    let urls = format!("nats://{},{}", one.address(), other.address());
    let broker = Nats::new(&urls).unwrap().user_and_password(USER, PASSWORD);
    // Whichever it tries first, it gets to the one that is there.
    let (bus, mut events) = listening(broker, config(), &["c"]).await;
    other.program.run().await;
    one.program.signal(Signal::USR2);
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    bus.publish("c", "elsewhere").unwrap();
    assert_eq!(message(&mut events).await.1, "elsewhere");
    assert!(one.program.is_running());
    assert_eq!(bus.counters().connections, 2);
}

/// A59: wrong credentials, and none, are refusals, and no text of any error names what was given.
#[tokio::test]
async fn a59_no_password_in_any_text() {
    let Some(server) = Server::start(LOGIN).await else { return };
    let address = server.address();
    let at = |userinfo: &str| Nats::new(&format!("nats://{userinfo}{address}")).unwrap();
    for broker in [
        at("bus:wr0ngpassword@"),
        at("wr0nguser:wr0ngpassword@"),
        at("wr0ngtoken@"),
        at(""),
        at("").user_and_password("bus", "wr0ngpassword"),
        at("").token("wr0ngtoken"),
        // What the URL says comes first.
        at("bus:wr0ngpassword@").user_and_password(USER, PASSWORD),
    ] {
        let Err(error) = within(broker.connect()).await else { panic!("it is let in") };
        assert_eq!(error.kind(), PubSubErrorKind::Refused, "{error:?}");
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        assert_eq!(source, "authorization violation");
        let texts = format!("{broker:?} {error:?} {error} {source}");
        assert!(!texts.contains("wr0ng"), "{texts}");
        let (bus, _events) = Bus::start(broker, config());
        is_down(&bus).await;
        assert!(!format!("{bus:?} {:?}", bus.state()).contains("wr0ng"));
    }
    for url in ["nats://u:wr0ng@host:notaport", "wr0ng://u:wr0ng@host", "", "a,,b", "nats://[wr0ng"]
    {
        let error = Nats::new(url).unwrap_err();
        assert_eq!(error.kind(), PubSubErrorKind::Setting);
        assert!(!format!("{error:?} {error}").contains("wr0ng"), "{error:?}");
    }
}

/// A59: a user, a token, and one that may use the names of one application only.
#[tokio::test]
async fn credentials_that_are_right() {
    let Some(server) = Server::start("authorization { token: \"s3cret,@\" }").await else { return };
    let address = server.address();
    let in_url = Nats::new(&format!("nats://s3cret%2C%40@{address}")).unwrap();
    let beside = Nats::new(&address.to_string()).unwrap().token("s3cret,@");
    for broker in [in_url, beside] {
        is_up(&Bus::start(broker, config()).0).await;
    }
    let rights = "{ publish: [\"sockeye.>\"], subscribe: [\"sockeye.>\"] }";
    let user = format!("{{ user: bus, password: tops3cret, permissions: {rights} }}");
    let Some(server) = Server::start(&format!("authorization {{ users: [{user}] }}")).await else {
        return;
    };
    let mut named = config();
    named.prefix = "sockeye".to_owned();
    let (bus, mut events) = listening(server.broker(), named, &["c"]).await;
    bus.publish("c", "allowed").unwrap();
    assert_eq!(message(&mut events).await.1, "allowed");
    // A publisher hears of it as one who listens does.
    let (bus, _events) = Bus::start(server.broker(), config());
    is_up(&bus).await;
    bus.publish("c", "not allowed").unwrap();
    assert_eq!(down_by(&bus).await, PubSubErrorKind::Refused);
    let (bus, _events) = Bus::start(server.broker(), config());
    bus.subscribe("c").unwrap();
    assert_eq!(down_by(&bus).await, PubSubErrorKind::Refused);
}

/// What others publish with headers and a subject for answers arrives without them.
#[tokio::test]
async fn headers_are_left_out() {
    let Some(server) = Server::start("").await else { return };
    let (_bus, mut events) = listening(server.broker(), config(), &["c"]).await;
    let mut other = TcpStream::connect(server.address()).await.unwrap();
    let subject = format!("{}.c answers.here", config().prefix);
    let published = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\n\
         HPUB {subject} 22 26\r\nNATS/1.0\r\nBar: Baz\r\n\r\nbare\r\n"
    );
    other.write_all(published.as_bytes()).await.unwrap();
    assert_eq!(message(&mut events).await.1, "bare");
    // And from a server that does not take them off.
    let prefix = config().prefix;
    let then = format!("PONG\r\nHMSG {prefix}.c 1 r 22 26\r\nNATS/1.0\r\nBar: Baz\r\n\r\nbare\r\n");
    let fake = Fake::staying(INFO, &then).await;
    let (_bus, mut events) = listening(fake.broker(), config(), &["c"]).await;
    assert_eq!(message(&mut events).await.1, "bare");
}

/// What comes of a connection, in the end.
async fn end(broker: &Nats) -> PubSubError {
    let line = match within(broker.connect()).await {
        Ok(line) => line,
        Err(error) => return error,
    };
    loop {
        if let Err(error) = within(line.next()).await {
            return error;
        }
    }
}

/// A58, A29, A56, A57, row 73: a server may say what it likes: it is an error of its kind, and the bus goes on trying.
#[tokio::test]
async fn a58_wrong_answers() {
    let long = format!("INFO {{\"a\":\"{}\"}}\r\n", "x".repeat(100_000));
    let leaving = "INFO {\"ldm\":true}\r\n";
    let hidden = "PONG\r\n-ERR 'Permissions Violation for Publish to \"tops3cret\"'\r\n";
    for (first, then, kind) in [
        ("", "", PubSubErrorKind::Unreachable),
        ("INFO {\"max_pay", "", PubSubErrorKind::Unreachable),
        ("INFO {\"max_pay\r\n", "", PubSubErrorKind::Answer),
        ("PONG\r\n", "", PubSubErrorKind::Answer),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "", PubSubErrorKind::Answer),
        ("-ERR 'maximum connections exceeded'\r\n", "", PubSubErrorKind::Refused),
        (&long, "", PubSubErrorKind::Answer),
        (leaving, "", PubSubErrorKind::Unreachable),
        (INFO, "-ERR 'Authorization Violation'\r\n", PubSubErrorKind::Refused),
        (INFO, "-ERR 'Unknown Protocol Operation'\r\n", PubSubErrorKind::Answer),
        (INFO, "PONG\r\n", PubSubErrorKind::Lost),
        (INFO, "PONG\r\nPONG\r\n", PubSubErrorKind::Answer),
        (INFO, "PONG\r\nWHAT\r\n", PubSubErrorKind::Answer),
        (INFO, "PONG\r\nMSG a 1 5\r\nhell", PubSubErrorKind::Lost),
        (INFO, "PONG\r\nMSG a 1 3\r\nhello\r\n", PubSubErrorKind::Answer),
        (INFO, "PONG\r\nMSG a 1 7\r\nhello\r\nPING\r\n", PubSubErrorKind::Answer),
        (INFO, "PONG\r\nMSG a 1 500000000\r\n", PubSubErrorKind::Answer),
        (INFO, "PONG\r\n-ERR 'Slow Consumer'\r\n", PubSubErrorKind::Lost),
        (INFO, hidden, PubSubErrorKind::Refused),
        (INFO, &format!("PONG\r\n{leaving}"), PubSubErrorKind::Lost),
    ] {
        let fake = Fake::start(first, then).await;
        let error = end(&fake.broker()).await;
        assert_eq!(error.kind(), kind, "{first:.40} {then}: {error:?}");
        assert!(!format!("{error:?} {error}").contains(PASSWORD), "{error:?}");
        let (bus, _events) = Bus::start(fake.broker(), config());
        is_down(&bus).await;
        fake.has_ended(3).await;
    }
}

/// A server that asks whether somebody is there is answered; subscriptions come and go by their numbers; and when nobody
/// holds the bus any more, its connection is closed.
#[tokio::test]
async fn what_a_server_is_told() {
    let fake = Fake::staying(INFO, "PONG\r\nPING\r\n+OK\r\nping\r\n").await;
    let (bus, _events) = listening(fake.broker(), config(), &["a b"]).await;
    let heard = fake.heard("PONG\r\n").await;
    let options = heard.strip_prefix("CONNECT ").unwrap().lines().next().unwrap();
    let options: serde_json::Value = serde_json::from_str(options).unwrap();
    assert_eq!((&options["user"], &options["pass"]), (&USER.into(), &PASSWORD.into()));
    assert_eq!((&options["verbose"], &options["protocol"]), (&false.into(), &1.into()));
    let prefix = config().prefix;
    fake.heard(&format!("SUB {prefix}.a_20b 1\r\nPING\r\n")).await;
    bus.subscribe("b").unwrap();
    bus.subscribe("c").unwrap();
    fake.heard(&format!("SUB {prefix}.b 2\r\nSUB {prefix}.c 3\r\nPING\r\n")).await;
    assert!(bus.subscribed("b", SOON).await);
    bus.unsubscribe("b");
    fake.heard("\r\nUNSUB 2\r\nPING\r\n").await;
    bus.publish("c", "hello").unwrap();
    bus.publish("c", "").unwrap();
    let both = format!("PUB {prefix}.c 5\r\nhello\r\nPUB {prefix}.c 0\r\n\r\nPING\r\n");
    fake.heard(&both).await;
    drop(bus);
    fake.has_ended(1).await;
}

/// A server that answers no ping has confirmed nothing.
#[tokio::test]
async fn without_an_answer_nothing_is_confirmed() {
    let fake = Fake::staying(INFO, "+OK\r\n").await;
    let mut short = config();
    short.connect_timeout = std::time::Duration::from_millis(100);
    let (bus, _events) = Bus::start(fake.broker(), short);
    assert_eq!(down_by(&bus).await, PubSubErrorKind::Timeout);
    fake.has_ended(1).await;
}

/// A network in which nobody answers; who was called.
#[derive(Clone, Default)]
struct Nobody(Arc<Mutex<Vec<SocketAddr>>>);

impl Dial for Nobody {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        self.0.lock().unwrap().push(address);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

/// Servers take turns, and each of them is somebody's first.
#[tokio::test]
async fn servers_take_turns() {
    let nobody = Nobody::default();
    let broker = Nats::new("nats://10.0.0.1, tls://10.0.0.2:1,[::1]").unwrap().dial(nobody.clone());
    let mut firsts = HashSet::new();
    for _ in 0..200 {
        let broker = broker.clone();
        for _ in 0..6 {
            let error = end(&broker).await;
            assert_eq!(error.kind(), PubSubErrorKind::Unreachable);
        }
        let called = std::mem::take(&mut *nobody.0.lock().unwrap());
        assert_eq!(called[..3], called[3..]);
        assert_eq!(called[..3].iter().collect::<HashSet<_>>().len(), 3);
        firsts.insert(called[0].to_string());
    }
    let all = ["10.0.0.1:4222", "10.0.0.2:1", "[::1]:4222"].map(str::to_owned);
    assert_eq!(firsts, all.into());
}

/// BY-41, row 70: of several servers one is enough.
#[tokio::test]
async fn one_server_of_several() {
    let Some(mut server) = Server::start("").await else { return };
    let urls = format!("127.0.0.1:1,127.0.0.1:1,{}", server.address());
    let broker = Nats::new(&urls).unwrap();
    let (bus, mut events) = listening(broker, config(), &["c"]).await;
    server.program.kill();
    is_down(&bus).await;
    server.program.run().await;
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    assert!(bus.subscribed("c", SOON).await);
    assert!(matches!(*bus.state().borrow(), BusState::Up { connections: 2 }));
}
