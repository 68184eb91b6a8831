//! Floor 9: nodes of a cluster over Redis, the real program.

#![cfg(all(unix, feature = "redis", feature = "hub"))]

use crate::brokers::{
    a23_the_ledger, a28_three_nodes, a29_poison_of_any_length, a60_nodes_find_each_other,
};
use crate::support::brokers::Program;
use crate::support::redis::{broker_at, command, publish_bytes};

#[tokio::test]
async fn a28_three_nodes_over_redis() {
    let Some(server) = Program::start(command).await else { return };
    a28_three_nodes(broker_at(server.address())).await;
}

#[tokio::test]
async fn a23_the_ledger_over_redis() {
    let Some(mut server) = Program::start(command).await else { return };
    let broker = broker_at(server.address());
    a23_the_ledger(&mut server, broker).await;
}

#[tokio::test]
async fn a60_nodes_find_each_other_when_redis_comes() {
    let Some(mut server) = Program::start(command).await else { return };
    let broker = broker_at(server.address());
    a60_nodes_find_each_other(&mut server, broker).await;
}

/// A29, A27: by default Redis cuts a subscriber that has 32 MB to come.
#[tokio::test]
async fn a29_poison_of_any_length_over_redis() {
    for limit in [None, Some("pubsub 0 0 0")] {
        let command = move |port| {
            let mut command = command(port);
            command.args(limit.iter().flat_map(|limit| ["--client-output-buffer-limit", limit]));
            command
        };
        let Some(server) = Program::start(command).await else { return };
        let address = server.address();
        let publish =
            async |channel: &str, bytes: usize| publish_bytes(address, channel, bytes).await;
        a29_poison_of_any_length(broker_at(address), publish, limit.is_none()).await;
    }
}
