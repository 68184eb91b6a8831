//! The chat on several nodes, which are processes of this program, with a broker between them: Redis or NATS, found and
//! started, or one that is there. Nodes are killed and started again by what is typed; a page whose node is gone goes on
//! with another.
//!
//! `cargo run --release --example cluster --features redis,nats`
//!
//! `cluster node` is one node as a server runs it: see `compose.yaml`, `sockeye@.service` and `kubernetes.yaml` beside this.

#[path = "../chat/app.rs"]
mod app;
mod broker;
mod children;
mod commands;
mod doors;
mod fleet;
#[path = "../support/help.rs"]
mod help;
mod node;
mod options;
#[path = "../chat/panel.rs"]
mod panel;
mod people;
#[path = "../chat/protocol.rs"]
mod protocol;
#[path = "../chat/rooms.rs"]
mod rooms;
#[path = "../support/stop.rs"]
mod stop;

use options::Options;

#[tokio::main]
async fn main() {
    help::if_asked(&[options::USAGE]);
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    let ended = match options {
        Options::All(all) => fleet::run(all).await,
        Options::Node(node) => node::run(node).await,
        Options::Broker(program, port) => broker::run(program, port).await,
    };
    if let Err(error) = ended {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
