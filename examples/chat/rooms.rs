//! The rooms: who comes, and what is said.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sockeye::app::{Context, EventError};
use sockeye::auth::AuthError;
use sockeye::hub::{Page, PresenceChange, PresenceKind};

use super::doors::{Doors, is_private};
use super::protocol::{Before, Join, Say};
use super::{panel, people};

/// Messages of a room that its newcomers see at once, and of which each older page has as many.
const PAGE: usize = 50;

/// The answer has who is in the room, and what was said there last. A session that is in the room already has
/// them again, without the password: its page was loaded anew.
pub(crate) async fn join(context: Context, join: Join) -> Result<Value, EventError> {
    let room = context.hub().room(&join.room.0);
    let me = context.peer();
    if !me.in_room(room.name()) {
        let doors = context.state::<Doors>().ok_or_else(EventError::internal)?;
        doors.check(&room, &join, me.address()).map_err(refusal)?;
        people::introduce(me, join.name.0);
    }
    let last = context.join_with_history(room.name(), PAGE)?;
    let members = people::everybody(context.hub(), &room).await;
    let mut answer = people::person(me);
    answer["room"] = json!(room.name());
    answer["isPrivate"] = json!(is_private(&room));
    answer["members"] = json!(members);
    answer["last"] = json!(last);
    Ok(answer)
}

/// For everybody in the room, who says it among them.
pub(crate) async fn say(context: Context, say: Say) -> Result<Value, EventError> {
    if !context.peer().in_room(&say.room) {
        return Err(EventError::new(409, "not in this room"));
    }
    let at = now_ms();
    let mut said = people::person(context.peer());
    said["at"] = json!(at);
    said["room"] = json!(say.room);
    said["text"] = json!(say.text.0);
    let room = context.to_room(&say.room).keep();
    // Who speaks waits while the chat is busy.
    room.ready().await;
    room.send("chat.message", &said)?;
    Ok(json!({"at": at}))
}

/// What was said in the room before.
pub(crate) async fn before(context: Context, asked: Before) -> Result<Page, EventError> {
    if !context.peer().in_room(&asked.room) {
        return Err(EventError::new(409, "not in this room"));
    }
    Ok(context.history().before(&asked.room, Some(asked.number), PAGE))
}

/// What those in a room are told of who comes and goes; of those who look at the metrics nobody is.
pub(crate) fn presence(change: &PresenceChange) -> Option<Value> {
    let room = change.room.name();
    let is_here = change.kind == PresenceKind::Joined;
    let told = |person| json!({"room": room, "person": person, "isHere": is_here});
    people::of(change).filter(|_| room != panel::ROOM).map(told)
}

fn refusal(error: AuthError) -> EventError {
    let message = match error {
        AuthError::Refused => "no room of this name with this password",
        _ => "too many wrong passwords: wait a minute",
    };
    EventError::from(error).with_message(message)
}

/// Milliseconds since 1970, never the same twice here: a message is known by it and by who says it, also after the
/// server was away.
fn now_ms() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let next = |last: u64| Some(now.max(last.saturating_add(1)));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    last.map_or(now, |last| now.max(last.saturating_add(1)))
}
