//! Streams that fail as a seed wants it.

use std::io::ErrorKind;
use std::time::Duration;

use sockeye::CloseCode;
use sockeye::testing::{Chance, Faults, FaultyStream, Pair, Pieces, for_seeds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::Instant;

use super::broken::failure;

/// How many bytes each read and each write of a long text moved, until the end.
async fn moved(faults: Faults) -> (Vec<usize>, Vec<usize>) {
    let text = vec![b'x'; 5000];
    let (ours, theirs) = duplex(100_000);
    let mut writer = FaultyStream::new(ours, faults.clone());
    let mut reader = FaultyStream::new(theirs, faults);
    let (mut reads, mut writes, mut at) = (Vec::new(), Vec::new(), 0);
    while at < text.len() {
        let Ok(len) = writer.write(&text[at..]).await else { break };
        writes.push(len);
        at += len;
    }
    drop(writer);
    let mut buf = [0; 1000];
    while let Ok(len @ 1..) = reader.read(&mut buf).await {
        reads.push(len);
    }
    (reads, writes)
}

/// TE-01: the same seed cuts the same, another one otherwise.
#[tokio::test]
async fn the_same_seed_does_the_same() {
    let of = async |seed| moved(Faults::rough(seed).cut_within(9000)).await;
    let mut seen = Vec::new();
    for seed in 0..20 {
        let (reads, writes) = of(seed).await;
        assert_eq!(of(seed).await, (reads.clone(), writes.clone()), "seed {seed}");
        assert!(!seen.contains(&writes), "seed {seed} is another's");
        assert!(reads.iter().chain(&writes).all(|len| (1..=64).contains(len)), "seed {seed}");
        seen.push(writes);
    }
    let cut = seen.iter().filter(|writes| writes.iter().sum::<usize>() < 5000).count();
    assert!((1..20).contains(&cut), "{cut} of 20 were cut while they wrote");
}

/// TE-01: pieces are as long as they may be, and no longer.
#[tokio::test]
async fn pieces_have_their_length() {
    let (reads, writes) = moved(Faults::new(1).reads(Pieces::Of(7)).writes(Pieces::Of(900))).await;
    assert_eq!((writes, reads.len()), (vec![900, 900, 900, 900, 900, 500], 5000_usize.div_ceil(7)));
    let (reads, writes) = moved(Faults::new(1)).await;
    assert_eq!((reads, writes), (vec![1000; 5], vec![5000]));
}

/// TE-02: a cut is at its byte, neither before nor behind it, and the other end has all up to it.
#[tokio::test]
async fn a_cut_is_at_its_byte() {
    for at in 0..40_u64 {
        let (ours, mut theirs) = duplex(1000);
        let mut ours = FaultyStream::new(ours, Faults::rough(at).cut_after_written(at));
        let valve = ours.valve();
        let error = ours.write_all(&[b'x'; 40]).await.and(ours.write_all(b"y").await).unwrap_err();
        assert_eq!((error.kind(), valve.written()), (ErrorKind::BrokenPipe, at));
        assert!(valve.is_cut());
        let mut came = Vec::new();
        theirs.read_to_end(&mut came).await.unwrap();
        assert_eq!(came.len() as u64, at);
        assert_eq!(ours.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);

        let (ours, mut theirs) = duplex(1000);
        let mut ours = FaultyStream::new(ours, Faults::rough(at).cut_after_read(at));
        theirs.write_all(&[b'x'; 60]).await.unwrap();
        let mut came = Vec::new();
        let error = ours.read_to_end(&mut came).await.unwrap_err();
        assert_eq!((error.kind(), came.len() as u64), (ErrorKind::ConnectionReset, at));
    }
}

/// TE-03: what is read comes later by as much as was asked for, in the time of tokio.
#[tokio::test(start_paused = true)]
async fn latency_is_in_virtual_time() {
    let latency = Duration::from_secs(2)..=Duration::from_secs(8);
    let faults = Faults::new(3).latency(latency.clone());
    let (mut client, mut server) = Pair::new().client_faults(faults).open();
    let mut waits = Vec::new();
    for _ in 0..5 {
        server.send("tick").await.unwrap();
        let began = Instant::now();
        assert_eq!(client.recv().await.unwrap(), Some("tick".into()));
        waits.push(began.elapsed());
    }
    let most = *latency.end() + Duration::from_millis(1);
    assert!(waits.iter().all(|wait| (*latency.start()..=most).contains(wait)), "{waits:?}");
    waits.dedup();
    assert_eq!(waits.len(), 5, "each by itself");
}

/// TE-04: what is held waits, in both directions, and is there when it is let go.
#[tokio::test(start_paused = true)]
async fn a_valve_holds_and_lets_go() {
    let (mut ours, mut theirs) = Pair::new().streams();
    let valve = ours.valve();
    valve.hold_reads(true);
    theirs.write_all(b"hello").await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(5), ours.read_u8()).await;
    assert!(waiting.is_err(), "held: {waiting:?}");
    let mut buf = [0; 5];
    let (read, ()) = tokio::join!(ours.read_exact(&mut buf), async { valve.hold_reads(false) });
    assert_eq!((read.unwrap(), &buf, valve.read()), (5, b"hello", 5));

    valve.hold_writes(true);
    let (written, ()) = tokio::join!(ours.write_all(b"x"), async { valve.hold_writes(false) });
    written.unwrap();
    valve.cut();
    assert_eq!(ours.write_all(b"y").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut came = Vec::new();
    theirs.read_to_end(&mut came).await.unwrap();
    assert_eq!(came, b"x");
}

/// TE-05: a lost connection is one to both ends, which is what a WebSocket makes of it.
#[tokio::test(start_paused = true)]
async fn a_cut_ends_both_ends() {
    for_seeds(0..64, async |seed| {
        let faults = Faults::rough(seed).cut_within(400);
        let (mut client, mut server) = Pair::new().client_faults(faults).open();
        let talking = async {
            while client.send("0123456789").await.is_ok() {
                if !matches!(client.recv().await, Ok(Some(_))) {
                    break;
                }
            }
            client.outcome().unwrap().code
        };
        let answering = async {
            while let Ok(Some(message)) = server.recv().await {
                if server.send(message).await.is_err() {
                    break;
                }
            }
            server.outcome().unwrap().code
        };
        let codes = tokio::join!(talking, answering);
        assert_eq!(codes, (CloseCode::Abnormal, CloseCode::Abnormal));
    })
    .await;
}

/// TE-06: who fails is told its seed, and the seeds before it were run.
#[tokio::test]
async fn a_failure_tells_its_seed() {
    let mut ran = Vec::new();
    let said = failure(for_seeds(3..9, async |seed| {
        ran.push(seed);
        assert!(seed < 5, "too many");
    }))
    .await;
    assert_eq!(said, "seed 5 (SOCKEYE_SEED=5 runs it alone): too many");
    assert_eq!(ran, [3, 4, 5]);
}

/// TE-06: numbers by chance are those of their seed, evenly.
#[test]
fn numbers_are_those_of_their_seed() {
    let numbers = |seed| {
        let mut chance = Chance::new(seed);
        (0..1000).map(|_| chance.below(10)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
    for digit in 0..10 {
        let count = numbers(1).into_iter().filter(|number| *number == digit).count();
        assert!((60..140).contains(&count), "{digit}: {count} of 1000");
    }
    assert_eq!(Chance::new(1).below(0), 0);
    assert!(!Chance::new(1).happens(0) && Chance::new(1).happens(1000));
}
