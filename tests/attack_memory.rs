//! What clients can make a running server hold, over raw sockets.
//!
//! One test, for the counters are those of the whole process: server, attackers and all.

mod support;

use std::alloc::System;
use std::time::Duration;

use sockeye::frame::{Frame, FrameHeader, Opcode};
use sockeye::{Acceptor, Role};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::AsyncWriteExt;

use support::pair::{fragment, quiet, to};
use support::server::{FACES, Face, Site, within};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1024 * 1024;

/// What is allocated now and was not when the region began.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

fn assert_held(region: &Region<'_, System>, mib: usize, what: &str) {
    let held = held(region);
    assert!(held <= mib * MIB, "{what}: {held} bytes are held, {mib} MiB may be");
}

async fn start(face: Face) -> Site {
    let mut config = quiet();
    config.write_timeout = Duration::from_millis(300);
    Site::with(face, Acceptor::new(config)).await
}

/// 2b 18: a hundred announce 16 MiB each and send a little.
async fn announced_lengths(face: Face) {
    let mut site = start(face).await;
    let region = Region::new(ALLOCATOR);
    let mut peers = Vec::new();
    for _ in 0..100 {
        let mut header = FrameHeader::new(Opcode::Binary, 16 * MIB as u64);
        header.mask_key = Some([1, 2, 3, 4]);
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let len = header.encode(&mut bytes);
        let mut peer = site.peer().await;
        peer.write(&[&bytes[..len], &[0; 100]].concat()).await;
        peers.push(peer);
        site.check().await;
    }
    assert_held(&region, 16, &format!("{face:?}: announced"));
    drop(peers);
    site.end().await;
}

/// 2b 24: half a million fragments that never end a message.
async fn floods_of_fragments(face: Face) {
    for payload in [&b""[..], b"x"] {
        let mut site = start(face).await;
        let mut peer = site.peer().await;
        let piece = to(Role::Server, &vec![fragment(Opcode::Continuation, payload); 1000]);
        let region = Region::new(ALLOCATOR);
        peer.write(&to(Role::Server, &[fragment(Opcode::Binary, b"")])).await;
        for _ in 0..500 {
            if peer.stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        site.check().await;
        assert_held(&region, 4, &format!("{face:?}: fragments"));
        assert_eq!(within(peer.close_code()).await, Some(1008), "{face:?}");
        site.end().await;
    }
}

/// 2b 26: pings without end whose pongs are not read, until the server drops the client.
async fn pings_unread(face: Face) {
    let mut config = quiet();
    config.write_timeout = Duration::from_millis(300);
    config.pings_per_second_max = u32::MAX / 4;
    let mut site = Site::with(face, Acceptor::new(config)).await;
    let mut peer = site.peer().await;
    let piece = to(Role::Server, &vec![Frame::ping(vec![0; 125]); 500]);
    let region = Region::new(ALLOCATOR);
    let mut most = 0;
    let flooding = async {
        let mut written = 0;
        while written < 64 * MIB && peer.stream.write_all(&piece).await.is_ok() {
            written += piece.len();
            most = most.max(held(&region));
        }
    };
    // A face that goes on reading takes all of it; one that does not drops the client.
    within(flooding).await;
    most = most.max(held(&region));
    assert!(most <= 8 * MIB, "{face:?}: {most} bytes of pongs");
    site.check().await;
    drop(peer);
    site.end().await;
}

/// 2b 27: a client that asks and asks and reads nothing.
async fn answers_unread(face: Face) {
    let mut site = start(face).await;
    let mut peer = site.peer().await;
    let piece = to(Role::Server, &vec![Frame::binary(vec![0; 1000]); 500]);
    let region = Region::new(ALLOCATOR);
    let (mut written, mut most) = (0, 0);
    let asking = async {
        while written < 256 * MIB && peer.stream.write_all(&piece).await.is_ok() {
            written += piece.len();
            most = most.max(held(&region));
        }
    };
    within(asking).await;
    assert!(written < 256 * MIB, "{face:?}: all of it was read");
    assert!(most <= 8 * MIB, "{face:?}: {most} bytes of answers");
    site.check().await;
    site.end().await;
}

/// 2b 18, 24, 26, 27; FR-06, BY-10.
#[tokio::test]
async fn memory_under_attack() {
    for face in FACES {
        announced_lengths(face).await;
        floods_of_fragments(face).await;
        pings_unread(face).await;
        answers_unread(face).await;
    }
}
