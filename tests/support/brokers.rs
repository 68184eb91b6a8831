//! Programs that are brokers, and what a bus has to survive over any of them.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sockeye::pubsub::{Broker, Bus, BusState, Incoming, PubSubErrorKind};

use super::programs::{self, Running, free_port};
use super::pubsub::{SOON, config, is_down, is_up, listening, message};
use super::relay::Relay;
use super::server::within;

/// A program that listens to a port, and can be killed and started again.
pub(crate) struct Program {
    pub(crate) port: u16,
    command: Box<dyn Fn(u16) -> Command>,
    running: Option<Running>,
}

impl Program {
    /// `None` where the program is missing.
    pub(crate) async fn start(command: impl Fn(u16) -> Command + 'static) -> Option<Self> {
        let mut program = Self { port: free_port(), command: Box::new(command), running: None };
        program.run().await.then_some(program)
    }

    pub(crate) async fn run(&mut self) -> bool {
        let mut command = (self.command)(self.port);
        command.stdin(Stdio::null()).current_dir(std::env::temp_dir());
        self.running = programs::start(&mut command);
        if self.running.is_some() {
            programs::listening(self.port).await;
        }
        self.running.is_some()
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Stands still from now on: a signal by itself is only on its way.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        waitpid(Some(self.id()), WaitOptions::UNTRACED).unwrap();
    }

    fn id(&self) -> Pid {
        let id = self.running.as_ref().unwrap().0.id();
        Pid::from_raw(id.try_into().unwrap()).unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.0.try_wait().unwrap().is_none())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}

/// Why a bus is down.
pub(crate) async fn down_by(bus: &Bus) -> PubSubErrorKind {
    is_down(bus).await;
    let BusState::Down { kind, .. } = *bus.state().borrow() else { panic!("{bus:?}") };
    kind
}

/// A23: kill -9 under load: nothing comes twice or out of order, and where something is missing there is a gap.
pub(crate) async fn kill_under_load<B: Broker + Clone>(program: &mut Program, broker: B) {
    let mut large = config();
    large.outgoing_messages_max = 200_000;
    large.incoming_messages_max = 200_000;
    let (bus, mut events) = listening(broker.clone(), large.clone(), &["c"]).await;
    let (publisher, _) = Bus::start(broker, large);
    is_up(&publisher).await;
    for number in 1..=100_000 {
        publisher.publish("c", number.to_string()).unwrap();
    }
    let (mut last, mut is_gap, mut is_killed, mut gaps) = (0, false, false, 0);
    while last < 100_001 {
        let Some(Incoming::Message(message)) = within(events.next()).await else {
            (is_gap, gaps) = (true, gaps + 1);
            // What waits may all be gone before this bus listens again.
            within(async {
                while publisher.queued() > 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            publisher.publish("c", "100001").unwrap();
            continue;
        };
        let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        assert!(number == last + 1 || (number > last && is_gap), "{last}, {number}");
        (last, is_gap) = (number, false);
        if number >= 1000 && !is_killed {
            is_killed = true;
            program.kill();
            is_down(&bus).await;
            is_down(&publisher).await;
            program.run().await;
        }
    }
    assert_eq!((gaps, bus.counters().gaps), (1, 1));
    assert!(publisher.counters().lost_out <= 512);
}

/// A24: a broker that stands still is noticed, by being asked or by what is published, and there is a gap when it goes on.
pub(crate) async fn stand_still<B: Broker + Clone>(program: &Program, broker: B) {
    for is_publishing in [false, true] {
        let mut short = config();
        short.ping_interval = Duration::from_millis(if is_publishing { 1_000_000 } else { 100 });
        short.publish_timeout = Duration::from_millis(300);
        let (bus, mut events) = listening(broker.clone(), short, &["c"]).await;
        program.stop();
        if is_publishing {
            bus.publish("c", "lost or late").unwrap();
        }
        assert_eq!(down_by(&bus).await, PubSubErrorKind::Timeout);
        program.signal(Signal::CONT);
        assert_eq!(within(events.next()).await, Some(Incoming::Gap));
        bus.publish("c", "after").unwrap();
        let mut text = message(&mut events).await.1;
        if text == "lost or late" {
            text = message(&mut events).await.1;
        }
        assert_eq!(text, "after");
    }
}

/// A25, A26: 50,000 channels are subscribed to again after a restart without data, each once, in batches of 1,024: so often
/// does the client say `batch`, which is what it waits behind. How long it takes is printed: to see it as users do, run the
/// test with `--release` and `--nocapture`.
pub(crate) async fn many_channels_again<B: Broker>(
    program: &mut Program,
    broker_at: impl Fn(SocketAddr) -> B,
    batch: &str,
) {
    const CHANNELS: usize = 50_000;
    let relay = Relay::start(program.address(), Vec::new()).await;
    let (bus, mut events) = Bus::start(broker_at(relay.address), config());
    let names: Vec<_> = (0..CHANNELS).map(|number| format!("room {number}")).collect();
    for name in &names {
        bus.subscribe(name).unwrap();
    }
    for name in &names {
        assert!(bus.subscribed(name, SOON).await);
    }
    program.kill();
    is_down(&bus).await;
    relay.take_heard();
    program.run().await;
    let start = Instant::now();
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    println!("{CHANNELS} channels again {:?} after the restart", start.elapsed());
    let heard = relay.take_heard();
    let batches = heard.matches(batch).count();
    assert_eq!(heard.matches(".room_20").count(), CHANNELS);
    // And what a connection begins with, and a ping or two.
    let least = CHANNELS.div_ceil(1024);
    assert!((least..=least + 3).contains(&batches), "{batches}");
    let mut listened = HashSet::new();
    for names in names.chunks(10_000) {
        for name in names {
            bus.publish(name, name.clone()).unwrap();
        }
        for _ in names {
            let (channel, text) = message(&mut events).await;
            assert_eq!(channel, text);
            assert!(listened.insert(channel));
        }
    }
}

/// A60: a broker that is not there yet is no error.
pub(crate) async fn down_at_start(program: &mut Program, broker: impl Broker) {
    program.kill();
    let (bus, mut events) = Bus::start(broker, config());
    bus.subscribe("c").unwrap();
    bus.publish("c", "early").unwrap();
    assert_eq!(down_by(&bus).await, PubSubErrorKind::Unreachable);
    program.run().await;
    assert_eq!(message(&mut events).await.1, "early");
}
