//! Floor 9: nodes of a cluster over NATS, the real program.

#![cfg(all(unix, feature = "nats", feature = "hub"))]

use crate::brokers::{
    a23_the_ledger, a28_three_nodes, a29_poison_of_any_length, a60_nodes_find_each_other,
};
use crate::support::nats::{LOGIN, Server, publish_bytes};

#[tokio::test]
async fn a28_three_nodes_over_nats() {
    let Some(server) = Server::start(LOGIN).await else { return };
    a28_three_nodes(server.broker()).await;
}

#[tokio::test]
async fn a23_the_ledger_over_nats() {
    let Some(mut server) = Server::start(LOGIN).await else { return };
    let broker = server.broker();
    a23_the_ledger(&mut server.program, broker).await;
}

#[tokio::test]
async fn a60_nodes_find_each_other_when_nats_comes() {
    let Some(mut server) = Server::start(LOGIN).await else { return };
    let broker = server.broker();
    a60_nodes_find_each_other(&mut server.program, broker).await;
}

/// A29, A55: 64 MiB is the longest that a server can be told to take.
#[tokio::test]
async fn a29_poison_of_any_length_over_nats() {
    let settings = format!("{LOGIN}max_payload: 67108864\nmax_pending: 268435456\n");
    let Some(server) = Server::start(&settings).await else { return };
    let address = server.address();
    let publish = async |channel: &str, bytes: usize| publish_bytes(address, channel, bytes).await;
    a29_poison_of_any_length(server.broker(), publish, false).await;
}
