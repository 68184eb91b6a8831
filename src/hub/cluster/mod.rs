//! A hub that is one node of many: with feature `pubsub`.
//!
//! A WebSocket server does not scale to a second machine alone: whoever is connected there does not hear what is said
//! here. With a broker that all nodes reach, [`HubBuilder::cluster`](super::HubBuilder::cluster) makes a hub a node, and from
//! then on [`Room::broadcast`](super::Room::broadcast) and its kin, [`Hub::broadcast`](super::Hub::broadcast) and
//! [`Hub::send_to_user`](super::Hub::send_to_user) reach the members, connections and users on all nodes;
//! [`Room::users`](super::Room::users) and [`on_presence`](super::HubBuilder::on_presence) know of all; and
//! [`Hub::cluster`](super::Hub::cluster) asks all nodes.
//!
//! ```
//! use sockeye::hub::Hub;
//! use sockeye::hub::cluster::ClusterConfig;
//! use sockeye::pubsub::Memory;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Memory::new();
//! let one = Hub::builder().cluster(memory.clone(), ClusterConfig::default()).build()?;
//! let other = Hub::builder().cluster(memory, ClusterConfig::default()).build()?;
//! // Members here and there hear it.
//! one.room("lobby").broadcast("hello")?;
//! let members = other.cluster().room_members("lobby", std::time::Duration::from_secs(1)).await;
//! assert_eq!((members.value, members.is_complete()), (0, true));
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! **Here first.** Members on this node have a message in the same way and at the same time as without a cluster, also
//! while the broker is away.
//!
//! **At most once.** On another node a message arrives once or not at all; nothing is sent again. **In order** are the
//! messages of one node to one room, to one user, or to all; between these, and between two nodes, there is no order.
//! **No echo**: a node knows its own messages by its [name](NodeId), which is new at each start.
//!
//! **What is missing is visible.** Each message has a number of its node and channel, so a node sees that one is
//! missing when the next comes; what the broker lost, and what another node had no room for, is told as well. All of it
//! is counted ([`ClusterSnapshot`](super::metrics::ClusterSnapshot)) and told to [`ClusterConfig::on_gap`]. A gap says
//! that something *may* be missing. A client does not hear of it by itself (the `sys.gap` of the event protocol is
//! about its own session): an application that wants it to know says so from there.
//!
//! **Who joins** hears other nodes as soon as the broker has confirmed that this one listens to the room, which for its
//! first member takes a trip to the broker: a join does not wait for it. Who has to know, before it asks for what was
//! said before, waits for [`Room::subscribed`](super::Room::subscribed).
//!
//! # What belongs to a node
//!
//! Connections and their numbers, and so [`Except`](super::Except) by number (users are left out everywhere); limits,
//! reports ([`broadcast_reported`](super::Room::broadcast_reported)), the presence of guests. What is said through a
//! [`History`](super::History) is kept on each node that had members in the room then. Metadata belong to a node until the
//! session they are about goes to another.
//!
//! # Sessions
//!
//! A session of an application (feature `app`) is on one node at a time. A client that comes back to another node has it
//! there, exactly as it would where it was, **or is told that it is lost**; it never has it on two.
//!
//! ```text
//!   client      new node                     node that has it
//!     │ token ─────►│ claim: which rooms? ─────────►│            the token says where it is
//!     │             │◄───────────────────── rooms   │
//!     │             │ listens to all of them, notes what is said
//!     │             │ claim: hash of the token ────►│            its connection is closed with 4001,
//!     │             │◄─────────────── all of it     │            and what it has of each node is told by number
//!     │             │ joins, gives it what is noted │            it goes on keeping what is said
//!     │             │   and was not told            │
//!     │             │ settle ──────────────────────►│            from here on it is there, and nowhere else
//!     │◄── restored │◄───────────────── the rest    │
//! ```
//!
//! What goes with it: messages that were not received, counts, rooms, metadata. What handlers still send where it was is
//! passed on. What an application keeps of it for itself does not go, nor do questions to the client that wait for their
//! answers: these fail as with a session that ends. Presence and what else a node says to its own members only
//! ([`Room::broadcast_here`](super::Room::broadcast_here)) is said by each node for itself: at the moment of the move it
//! may come twice, or not.
//!
//! Whoever asks last has it. Until it is settled it stays where it was, whatever becomes of the new node; from then on it is
//! on the new one. Where the answer to that is lost it is on neither: the client is told `unknown`. It is told so, too,
//! where the node is gone, or says nothing within [`ClusterConfig::move_timeout`], if the application keeps its sessions in no
//! store (`App::session_store`). What was said meanwhile is compared by the
//! numbers of each node and channel; where they show that something is missing the new node asks again, within its time.
//! Of a node that said nothing in a room while the session was in it there are no numbers to compare: there it counts that
//! the broker keeps one order, so that a node hears what was said before it was asked, as Redis and a single NATS server do.
//!
//! The hash of a token is all that nodes tell each other of it. Like all that is said on the broker it is to be heard by the
//! nodes only.
//!
//! # Nodes
//!
//! ```text
//!   heartbeat every 2 s ──► all nodes       three of them missed: it is gone
//!   goodbye             ──► all nodes       it is gone
//! ```
//!
//! Only this node's own monotonic clock is asked: no message has a time of another node's in it, only how often that
//! one will be heard of, so clocks may differ as they like. While a node itself has no connection to the broker it
//! knows nothing of the others, and holds what it knew. How far a node was that fell silent is remembered for ten
//! minutes.
//!
//! Nodes of another version of the [`Envelope`] pass each other over, and count it.
//!
//! # Who is in a room
//!
//! Where a hub looks after presence, a node tells the others who comes into a room and who goes, on the room's own
//! channel. Whoever begins to listen asks, and all that have members there answer with their users; where something may
//! be missing the room is asked about again. Every 30 s each tells how many users it has there with a hash of their
//! names: who disagrees asks, and whoever is not confirmed three times is held for gone. So all agree in the end,
//! whatever was lost.
//!
//! Cost: a few dozen bytes a room and node in 30 s; a node's list, to all that listen, where one begins to listen or
//! disagrees; and on each node with members in a room the names of all users there.
//!
//! # Channels
//!
//! | channel | what | who listens |
//! |---|---|---|
//! | `r-` and the room | what is said there, and who is | nodes with members |
//! | `u-` and the user | what is said to it | nodes with its connections |
//! | `all` | what is said to all | every node |
//! | `nodes` | heartbeats, goodbyes, questions | every node |
//! | `n-` and the node | answers, and what is about sessions that move | that node |
//!
//! Whoever can publish on these channels can say anything to everybody: the broker is to be reached by the nodes only.
//! What is no [`Envelope`], or makes no sense where it comes, is counted and passed over.

mod answers;
mod calls;
mod channel;
mod chores;
mod config;
mod elsewhere;
mod envelope;
mod giving;
mod handle;
mod hearing;
mod inner;
mod name;
mod node;
mod nodes;
mod numbers;
mod questions;
mod receive;
#[cfg(feature = "app")]
mod record;
mod session;
mod state;
#[cfg_attr(not(feature = "app"), expect(dead_code, reason = "for applications"))]
mod taking;
mod task;
mod windows;
mod wire;

pub use config::{ClusterConfig, ClusterGap, GapAt};
pub use envelope::{Answer, Body, Carried, Envelope, EnvelopeError, Kept, Question};
pub use handle::{Cluster, Gathered, Moved};
pub use name::NodeId;
pub use session::{ChannelState, Claim, Refusal, SessionState, Waiting};

#[cfg(feature = "app")]
pub(crate) use {
    giving::Keeper,
    record::SessionRecord,
    taking::{Move, Moves},
    windows::Cover,
};
