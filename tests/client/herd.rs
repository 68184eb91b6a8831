//! Many clients of one server, which are sent away together: they do not come back together (row 51).

use std::time::Duration;

use sockeye::Connector;
use sockeye::client::{ReconnectingReceiver, ReconnectingSender, Status};
use sockeye::frame::Frame;
use tokio::time::{Instant, timeout};

use crate::support::client::{Conduct, Net};
use crate::support::io::RawPeer;
use crate::support::pair::quiet;

const CLIENTS: usize = 500;

type Client = (ReconnectingSender, ReconnectingReceiver);

/// Clients that are connected, and the ends of their server.
async fn connected(net: &Net) -> (Vec<Client>, Vec<RawPeer<tokio::io::DuplexStream>>) {
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let connector = Connector::new(quiet()).dial(net.clone());
        let client = connector.reconnecting("ws://9.9.9.9/").unwrap().start();
        servers.push(net.upgrade().await);
        let mut status = client.0.status();
        status.wait_for(|status| matches!(status, Status::Open { .. })).await.unwrap();
        clients.push(client);
    }
    (clients, servers)
}

/// When they dialled after the first time, in milliseconds since `start`.
fn again(net: &Net, start_ms: u64) -> Vec<u64> {
    let times = net.dialled();
    let times = times.iter().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
    times.skip(CLIENTS).map(|ms| ms - start_ms).collect()
}

/// The most of them within one window of so many milliseconds.
fn most_within(times: &[u64], window_ms: u64) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let count =
        |index: usize| times.partition_point(|time| *time < times[index] + window_ms) - index;
    (0..times.len()).map(count).max().unwrap_or_default()
}

/// Row 51, BY-50: after a cut the first waits are spread evenly over 0 to 1 s, and while the server is away,
/// no second holds more than a tenth of all clients from the sixth attempt on.
#[tokio::test(start_paused = true)]
async fn row_51_a_lost_server() {
    let net = Net::silent();
    let start = Instant::now();
    let (_clients, servers) = connected(&net).await;
    let net = net.conduct("9.9.9.9:80", Conduct::Refuse(Duration::ZERO));
    let cut_ms = start.elapsed().as_millis() as u64;
    drop(servers);
    let away = timeout(Duration::from_secs(600), std::future::pending::<()>());
    assert!(away.await.is_err());
    let times = again(&net, cut_ms);
    // The first of each come within the first second; those that wait hardly at all come again in it.
    for tenth in 0..10 {
        let range = tenth * 100..(tenth + 1) * 100;
        let count = times.iter().filter(|time| range.contains(*time)).count();
        // A second try may fall into it as well; 50 of a tenth are first ones, with a deviation of 7.
        assert!((15..150).contains(&count), "{count} from {} ms on", range.start);
    }
    // The ceiling is a minute by then: five attempts wait for 31 s at most.
    let late: Vec<_> = times.into_iter().filter(|time| *time > 120_000).collect();
    assert!(late.len() > 3 * CLIENTS, "{} attempts", late.len());
    let most = most_within(&late, 1000);
    assert!(most <= CLIENTS / 10, "{most} in a second");
}

/// Row 51, E36: a server that goes for a restart, or has too much to do, is given 5 to 30 s, and no second of
/// them has more than a tenth of the clients.
#[tokio::test(start_paused = true)]
async fn row_51_a_restart() {
    for code in [1012, 1013] {
        let net = Net::silent();
        let start = Instant::now();
        let (_clients, servers) = connected(&net).await;
        let cut_ms = start.elapsed().as_millis() as u64;
        for mut server in servers {
            server.send(Frame::close(code, "").unwrap()).await;
            assert_eq!(server.close_code().await, Some(code));
        }
        let mut servers = Vec::new();
        for _ in 0..CLIENTS {
            servers.push(net.upgrade().await);
        }
        let times = again(&net, cut_ms);
        assert_eq!(times.len(), CLIENTS);
        assert!(times.iter().all(|time| (5_000..=30_100).contains(time)), "{code}");
        let most = most_within(&times, 1000);
        assert!(most <= CLIENTS / 10, "{code}: {most} in a second");
    }
}
