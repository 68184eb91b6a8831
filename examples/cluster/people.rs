//! Who is in a room, on all nodes.
//!
//! Of a user elsewhere a node knows the name and nothing else, so all that others are shown is in it: `Ann#8f434346648f6b96`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sockeye::auth::{AuthError, Authenticator, Credentials, Identity, authenticate_fn};
use sockeye::hub::{Hub, Peer, PresenceChange, Room};

use super::protocol::Label;

/// How long the others have to say who is there. Who does not answer in time is shown when it is heard of.
const WITHIN: Duration = Duration::from_millis(500);

/// A key is 16 random bytes in hex.
const KEY_LEN: usize = 32;

/// What a page says of itself (see `site.js`).
#[derive(Deserialize)]
struct Guest {
    /// Its own: others are not told it.
    key: String,
    name: Label,
}

/// Anybody gets in, under a name of which nobody else has the number behind it.
pub(crate) fn guests() -> impl Authenticator {
    authenticate_fn(async |credentials: Credentials| {
        let token = credentials.token().ok_or(AuthError::Missing)?;
        user(token).map(Identity::new).ok_or(AuthError::Invalid)
    })
}

fn user(token: &str) -> Option<String> {
    let Guest { key, name } = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let is_key = key.len() == KEY_LEN && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = Sha256::digest(&key);
    let number = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    is_key.then(|| format!("{}#{number:016x}", name.0))
}

/// The name has come with the token.
pub(crate) fn introduce(_: &Peer, _: String) {}

/// As others are shown it.
pub(crate) fn person(peer: &Peer) -> Value {
    described(peer.user().unwrap_or_default())
}

/// Who has come or gone, here or elsewhere.
pub(crate) fn of(change: &PresenceChange) -> Option<Value> {
    change.user.as_deref().map(described)
}

/// Who comes first on this node asks the others, as soon as it hears what is said there.
pub(crate) async fn everybody(hub: &Hub, room: &Room) -> Vec<Value> {
    room.subscribed(WITHIN).await;
    let users = hub.cluster().room_users(room.name(), WITHIN).await;
    users.value.iter().map(|user| described(user)).collect()
}

fn described(user: &str) -> Value {
    let name = user.rsplit_once('#').map_or(user, |(name, _)| name);
    json!({"id": user, "name": name})
}
