//! Floor 9: nodes of a hub over the nodes of a Redis Cluster, the real programs.

#![cfg(all(unix, feature = "redis", feature = "hub"))]

use crate::brokers::{a23_the_ledger, a28_three_nodes, a60_nodes_find_each_other};
use crate::support::pubsub::config;
use crate::support::redis_cluster::{CALM, Nodes};

#[tokio::test]
async fn a28_three_nodes_over_a_redis_cluster() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    a28_three_nodes(nodes.broker()).await;
}

/// Of the three the one is killed that has the room.
#[tokio::test]
async fn a23_the_ledger_over_a_redis_cluster() {
    let Some(mut nodes) = Nodes::start(3, CALM).await else { return };
    let owner = nodes.owner(&format!("{}.r-lobby", config().prefix)).await;
    let broker = nodes.broker();
    a23_the_ledger(&mut nodes.nodes[owner].program, broker).await;
}

#[tokio::test]
async fn a60_nodes_find_each_other_when_a_redis_cluster_comes() {
    let Some(mut nodes) = Nodes::start(3, CALM).await else { return };
    let broker = nodes.broker();
    a60_nodes_find_each_other(&mut nodes.nodes[1].program, broker).await;
}
