//! Who is in a room: guests of this server, who say what they are called.

use serde_json::{Value, json};
use sockeye::hub::{Hub, Peer, PresenceChange, Room};

/// What a session is called.
const NAME: &str = "name";

pub(crate) fn introduce(peer: &Peer, name: String) {
    // It is shorter than the hub's bound on notes.
    let _ = peer.set_metadata(NAME, name);
}

/// As others are shown it.
pub(crate) fn person(peer: &Peer) -> Value {
    json!({"id": peer.id(), "name": peer.metadata(NAME).unwrap_or_default()})
}

/// Who has come or gone.
pub(crate) fn of(change: &PresenceChange) -> Option<Value> {
    change.peer.as_ref().map(person)
}

pub(crate) async fn everybody(_: &Hub, room: &Room) -> Vec<Value> {
    room.peers().await.iter().map(person).collect()
}
