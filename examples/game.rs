//! Games, each at a path of its own: who moves, moves for all who play it.
//!
//! ```text
//! cargo run --release --example game
//! cargo run --release --example wscat -- -H "Authorization: Bearer ann" ws://127.0.0.1:8080/ws/game/forest
//! {"type":"player-move","move":{"x":1,"y":0}}
//! {"type":"player-action","action":"jump"}
//! ```
//!
//! Whoever names himself is believed: a real game has an authenticator that checks. After each change everybody in
//! the game gets its state. A player whose connection falls stays for two minutes, so that he may come back.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sockeye::app::{App, Codec, Context, Disconnect, Event, Route, authenticated};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::limits::Limits;
use sockeye::hub::{Hub, PresenceChange, PresenceKind, Room, Shutdown};

const PLAYERS_MAX: usize = 16;

/// Those that somebody plays, by the names of their rooms.
static GAMES: Mutex<BTreeMap<String, Game>> = Mutex::new(BTreeMap::new());

#[derive(Default, Serialize)]
struct Game {
    players: BTreeMap<String, Player>,
}

#[derive(Default, Serialize)]
struct Player {
    x: i32,
    y: i32,
    action: Option<Action>,
}

#[derive(Deserialize)]
struct Move {
    #[serde(rename = "move")]
    step: Step,
}

#[derive(Deserialize)]
struct Step {
    x: i32,
    y: i32,
}

#[derive(Deserialize)]
struct Act {
    action: Action,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Jump,
    Wave,
}

type Handled = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port] = numbers::numbers([("--port", 8080)]);
    let mut limits = Limits::default();
    limits.room_members_max = Some(PLAYERS_MAX);
    let believing = authenticate_fn(async |credentials: Credentials| {
        credentials.token().map(Identity::new).ok_or(AuthError::Missing)
    });
    let game = Route::events()
        .codec(Codec::Tagged)
        .guard(authenticated())
        .on_open(enter)
        .on("player-move", player_move)
        .on("player-action", player_action);
    let app = App::new().route("/ws/game/{session_id}", game).authenticator(believing);
    let app = app.hub(Hub::builder().limits(limits).on_presence(come_or_go));
    let running = app.port(port).start().await?;
    let stopped = stop::asked();
    println!("listening on ws://{}/ws/game/", running.local_addrs()[0]);
    stopped.await;
    running.stop(Shutdown::new(Duration::from_secs(5))).await?;
    Ok(())
}

async fn enter(context: Context) {
    if let Err(error) = context.join(&room_of(&context)) {
        context.disconnect(Disconnect::Forbidden, &error.to_string());
    }
}

/// The room of a game has its players, whatever becomes of their connections.
fn come_or_go(change: &PresenceChange) {
    let Some(user) = &change.user else { return };
    let changed = change_game(&change.room, |game| match change.kind {
        PresenceKind::Joined => drop(game.players.entry(user.to_string()).or_default()),
        PresenceKind::Left => drop(game.players.remove(&**user)),
    });
    if let Err(error) = changed {
        eprintln!("{}: {error}", change.room.name());
    }
}

async fn player_move(context: Context, Move { step }: Move) -> Handled {
    change_player(&context, |player| {
        player.x = player.x.saturating_add(step.x);
        player.y = player.y.saturating_add(step.y);
    })
}

async fn player_action(context: Context, Act { action }: Act) -> Handled {
    change_player(&context, |player| player.action = Some(action))
}

fn change_player(context: &Context, change: impl FnOnce(&mut Player)) -> Handled {
    let user = context.user_id().unwrap_or_default();
    let room = context.hub().room(&room_of(context));
    change_game(&room, |game| game.players.get_mut(user).map_or((), change))
}

/// Changes a game, and tells its players. A game without players is over.
fn change_game(room: &Room, change: impl FnOnce(&mut Game)) -> Handled {
    let mut games = GAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let game = games.entry(room.name().to_owned()).or_default();
    change(game);
    let state = Event::new("game-state", game)?;
    if game.players.is_empty() {
        games.remove(room.name());
    }
    // Under the lock, so that the last state that is told is the last one.
    room.broadcast(&*Codec::Tagged.encode(&state)?)?;
    Ok(())
}

fn room_of(context: &Context) -> String {
    format!("game:{}", context.param("session_id").unwrap_or_default())
}
