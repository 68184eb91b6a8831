//! The measurements, and the table of them.

use std::iter::Sum;
use std::time::{Duration, Instant};

use crate::Ran;
use crate::broker::{Broker, Program};
use crate::counting::payload;
use crate::options::Options;
use crate::processes::{Hearer, cpu, resident};
use crate::{bare, node};

/// Messages that are on their way at a time: what the bus and the broker hold without losing any.
const WINDOW: u64 = 4096;

/// Messages that are published in one go.
const BATCH: usize = 64;

/// When nothing comes for so long, the rest is lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// Of the latencies: a message a millisecond.
const PACE: Duration = Duration::from_millis(1);

/// Whoever speaks.
enum Speaker {
    Bare(bare::Publisher),
    Node(Box<node::Publisher>),
}

/// What came of a rate.
struct Rate {
    sent: u64,
    received: u64,
    time: Duration,
    /// CPU time of the speaker, the broker and the hearer.
    cpu: [Duration; 3],
}

impl Speaker {
    async fn publish(&mut self, payloads: &[String]) -> Ran {
        match self {
            Self::Bare(publisher) => Ok(publisher.publish(payloads).await?),
            Self::Node(publisher) => publisher.publish(payloads).await,
        }
    }
}

pub(crate) async fn table(broker: &Broker, options: &Options) -> Ran {
    println!(
        "\n{}, messages of {} bytes; CPU time in us per message",
        broker.program.name(),
        options.bytes
    );
    println!("| what | a second | speaker | broker | hearer | lost | latency us | 99 % |");
    println!("|---|---|---|---|---|---|---|---|");
    if broker.program != Program::RedisCluster {
        row(broker, options, None).await?;
    }
    for rooms in &options.rooms {
        row(broker, options, Some(*rooms)).await?;
    }
    Ok(())
}

/// `None`: bare clients.
async fn row(broker: &Broker, options: &Options, rooms: Option<usize>) -> Ran {
    let as_what = if rooms.is_some() { "--node" } else { "--bare" };
    let before = of_all(broker, resident)?;
    let began = Instant::now();
    let mut hearer = Hearer::start(as_what, broker, options, rooms.unwrap_or(1)).await?;
    let (hears_after, broker_bytes) =
        (began.elapsed(), of_all(broker, resident)?.saturating_sub(before));
    let hearer_bytes = resident(hearer.id())?;
    let mut speaker = match rooms {
        None => Speaker::Bare(bare::Publisher::connect(broker.program, broker.port).await?),
        Some(rooms) => Speaker::Node(Box::new(node::Publisher::start(broker, rooms).await?)),
    };
    let rate = rate(&mut speaker, &mut hearer, broker, options).await?;
    paced(&mut speaker, options).await?;
    if let Speaker::Node(publisher) = &speaker
        && publisher.lost() > 0
    {
        println!("{} messages never left", publisher.lost());
    }
    let [median, high] = hearer.latency()?;
    let what = rooms.map_or("bare clients".to_owned(), |rooms| format!("two nodes, {rooms} rooms"));
    let [speaking, between, hearing] =
        rate.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / rate.received.max(1) as f64);
    println!(
        "| {what} | {:.0} | {speaking:.2} | {between:.2} | {hearing:.2} | {} | {} | {} |",
        rate.received as f64 / rate.time.as_secs_f64(),
        rate.sent - rate.received,
        median / 1000,
        high / 1000,
    );
    if let Some(rooms) = rooms.filter(|rooms| *rooms > 1) {
        println!(
            "  {rooms} rooms: subscribed after {hears_after:.2?}; resident: hearing node {} KiB, broker {} KiB more",
            hearer_bytes / 1024,
            broker_bytes / 1024
        );
    }
    Ok(())
}

/// As many as come through.
async fn rate(
    speaker: &mut Speaker,
    hearer: &mut Hearer,
    broker: &Broker,
    options: &Options,
) -> Result<Rate, Box<dyn std::error::Error>> {
    let hearing = hearer.id();
    let used = || {
        let between = of_all(broker, cpu)?;
        Ok::<_, std::io::Error>([cpu(std::process::id())?, between, cpu(hearing)?])
    };
    let payloads = vec![payload(options.bytes, false); BATCH];
    let before = used()?;
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < options.seconds {
        speaker.publish(&payloads).await?;
        sent += BATCH as u64;
        let has_room = |counted: &u64| sent < counted + WINDOW;
        if tokio::time::timeout(LOST_AFTER, hearer.counted.wait_for(has_room)).await.is_err() {
            break;
        }
    }
    let all = hearer.counted.wait_for(|counted| *counted >= sent);
    let is_all = tokio::time::timeout(LOST_AFTER, all).await.is_ok();
    let time = began.elapsed() - if is_all { Duration::ZERO } else { LOST_AFTER };
    let received = *hearer.counted.borrow();
    let mut cpu = used()?;
    for (used, before) in cpu.iter_mut().zip(before) {
        *used -= before;
    }
    Ok(Rate { sent, received, time, cpu })
}

/// Of all processes of a broker together.
fn of_all<T: Sum>(broker: &Broker, of: impl Fn(u32) -> std::io::Result<T>) -> std::io::Result<T> {
    broker.ids().into_iter().map(of).sum()
}

/// One at a time, with the time in it.
async fn paced(speaker: &mut Speaker, options: &Options) -> Ran {
    let mut ticks = tokio::time::interval(PACE);
    let began = Instant::now();
    while began.elapsed() < options.seconds {
        ticks.tick().await;
        speaker.publish(&[payload(options.bytes, true)]).await?;
    }
    // The last ones are on their way.
    tokio::time::sleep(10 * PACE).await;
    Ok(())
}
