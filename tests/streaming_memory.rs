//! MS-06, MS-07: a message of any length in constant memory, in and out.
//!
//! One test, for the counters are those of the whole process.

mod support;

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use sockeye::testing::{Pair, TestStream};
use sockeye::{Config, MessageKind, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use support::streams::{Mode, noise, quiet_with};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;
const LEN: usize = 64 * KIB * KIB;

/// Compressing takes its time in a test.
const DEFLATE_LEN: usize = 4 * KIB * KIB;

/// Two fragments, two reads and two pipes; a deflater and an inflater, where there are any.
const PLAIN_BYTES_MAX: usize = 768 * KIB;
const DEFLATE_BYTES: usize = 768 * KIB;

type Ends = (WebSocket<TestStream>, WebSocket<TestStream>);

fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

async fn write(mut socket: WebSocket<TestStream>, len: usize) {
    let block = noise(40 * KIB);
    let mut writer = socket.send_stream(MessageKind::Binary).unwrap();
    for at in 0..len / block.len() {
        // Not the same again, so that it does not shrink to nothing.
        writer.write_all(&block[at % KIB..]).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    drop(writer);
    socket.close(1000, "").await.unwrap();
}

async fn constant_both_ways(ends: Ends, sent: usize, max: usize) {
    let region = Region::new(ALLOCATOR);
    let (client, mut server) = ends;
    let writing = tokio::spawn(write(client, sent));
    let mut reader = server.recv_stream().await.unwrap().unwrap();
    let (mut part, mut len) = (vec![0; 8 * KIB], 0);
    loop {
        let read = reader.read(&mut part).await.unwrap();
        assert!(held(&region) < max, "{} bytes are held after {len}", held(&region));
        len += read;
        if read == 0 {
            break;
        }
    }
    assert!(len > sent * 9 / 10, "{len}");
    assert!(server.recv().await.unwrap().is_none());
    writing.await.unwrap();
}

/// The rest of a message whose reader is gone is passed over in constant memory, too.
async fn constant_when_dropped(ends: Ends, max: usize) {
    let region = Region::new(ALLOCATOR);
    let (client, mut server) = ends;
    let writing = tokio::spawn(write(client, LEN));
    let mut reader = server.recv_stream().await.unwrap().unwrap();
    reader.read_exact(&mut [0; 10]).await.unwrap();
    let watching = async {
        while !writing.is_finished() {
            assert!(held(&region) < max, "{} bytes are held", held(&region));
            tokio::task::yield_now().await;
        }
    };
    let (received, ()) = tokio::join!(server.recv(), watching);
    assert!(received.unwrap().is_none());
}

fn long() -> Config {
    quiet_with(|config| {
        config.message_bytes_max = 2 * LEN;
        config.message_timeout = Duration::from_secs(3600);
    })
}

fn plain() -> Ends {
    Pair::new().config(long()).capacity(16 * KIB).open()
}

/// MS-06, MS-07, row 18.
#[tokio::test]
async fn long_messages_pass_in_constant_memory() {
    constant_both_ways(plain(), LEN, PLAIN_BYTES_MAX).await;
    constant_when_dropped(plain(), PLAIN_BYTES_MAX).await;
    for mode in [Mode::Alone, Mode::Takeover] {
        let ends =
            Pair::new().config(long()).deflate(mode.deflate()).capacity(16 * KIB).connect().await;
        constant_both_ways(ends, DEFLATE_LEN, PLAIN_BYTES_MAX + DEFLATE_BYTES).await;
    }
}
