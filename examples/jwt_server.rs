//! A server that asks for a token, and for the password of a room.
//!
//! ```text
//! export SOCKEYE_SECRET=$(openssl rand -hex 32)
//! cargo run --release --example jwt_server -- serve --port 9001 --room chat=salmon
//! TOKEN=$(cargo run --release --example jwt_server -- token ann)
//! cargo run --release --example client -- "ws://127.0.0.1:9001/?token=$TOKEN&room=chat&room_password=salmon"
//! ```
//! What one says in a room is heard by the others in it. A token lasts for ten minutes, then its
//! connection is closed with 4401, unless it sends `renew TOKEN` in time.

#[path = "support/help.rs"]
mod help;
#[path = "support/stop.rs"]
mod stop;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sockeye::auth::{Identity, JwtSigner, JwtVerifier, RoomAuth, Secret};
use sockeye::hub::{Handlers, Hub, PeerConnection, Shutdown};
use sockeye::{MessageRef, Server};

const USAGE: &str = "\
jwt_server serve [--port N] [--room NAME=PASSWORD]...   serves on 127.0.0.1
jwt_server token USER [SECONDS]                         prints a token of this user, for 600 s
The secret is in the environment: SOCKEYE_SECRET, 32 bytes at least.";

/// How long before its end a token's connection is told.
const WARNING: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    help::if_asked(&[USAGE]);
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    if let Err(error) = run(&arguments).await {
        eprintln!("{error}\n\n{USAGE}");
        std::process::exit(2);
    }
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let secret = std::env::var("SOCKEYE_SECRET")
        .map_err(|_| "SOCKEYE_SECRET is not set: export SOCKEYE_SECRET=$(openssl rand -hex 32)")?;
    let secret = Secret::new(secret)?;
    match arguments {
        [verb, rest @ ..] if verb == "serve" => serve(secret, rest).await,
        [verb, user] if verb == "token" => token(secret, user, 600),
        [verb, user, seconds] if verb == "token" => token(secret, user, seconds.parse()?),
        _ => Err("what shall it do?".into()),
    }
}

fn token(secret: Secret, user: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let ends = now.checked_add(seconds).ok_or("that is too long")?;
    let claims = serde_json::json!({"sub": user, "name": user, "iat": now, "exp": ends});
    println!("{}", JwtSigner::new(secret).sign(&claims)?);
    Ok(())
}

async fn serve(secret: Secret, options: &[String]) -> Result<(), Box<dyn Error>> {
    let verifier = Arc::new(JwtVerifier::new(secret.clone()));
    let auth = RoomAuth::new(secret).require_token();
    let mut port = 9001;
    for option in options.chunks(2) {
        match option {
            [name, value] if name == "--port" => port = value.parse()?,
            [name, value] if name == "--room" => {
                let (room, password) = value.split_once('=').ok_or("--room NAME=PASSWORD")?;
                auth.passwords().set(room, password)?;
            }
            _ => return Err(format!("{option:?} is not understood").into()),
        }
    }
    let server = Server::bind(("127.0.0.1", port)).await?;
    let stopped = stop::asked();
    println!("listening on {}", server.local_addr()?);
    let hub = Hub::builder().on_expiring(WARNING, |peer, left| {
        // Whoever does not read is closed soon.
        let _ = peer.sender().try_send(format!("your token ends in {} s", left.as_secs()));
    });
    let stopped = async {
        stopped.await;
        Shutdown::new(Duration::from_secs(10))
    };
    let report = hub.build()?.serve_with_auth(server, auth, handlers(verifier), stopped).await?;
    println!("{} of {} connections ended in time", report.ended, report.told);
    Ok(())
}

fn handlers(verifier: Arc<JwtVerifier>) -> Handlers {
    Handlers::new()
        .on_open(|connection| say(connection, "joined"))
        .on_message(move |connection, message| {
            let Some(text) = message.as_text() else { return };
            match text.strip_prefix("renew ") {
                Some(token) => renew(connection, &verifier, token),
                None => say(connection, text),
            }
        })
        .on_close(|peer, _| {
            let text = format!("{} left", peer.user().unwrap_or_default());
            for room in peer.rooms() {
                // The job queue is full: they see it when they count.
                let _ = room.broadcast_except(&*text, peer.id());
            }
        })
}

/// To the others in the rooms one is in.
fn say(connection: &mut PeerConnection<'_, '_>, text: &str) {
    let peer = connection.peer();
    let text = format!("{}: {text}", peer.user().unwrap_or_default());
    let is_said = peer.rooms().iter().all(|room| room.broadcast_except(&*text, peer.id()).is_ok());
    if !is_said {
        // A connection that is closing needs no answer.
        let _ = connection.send(MessageRef::from("too busy: say it again"));
    }
}

fn renew(connection: &mut PeerConnection<'_, '_>, verifier: &JwtVerifier, token: &str) {
    let verified = verifier.verify(token, SystemTime::now()).and_then(Identity::from_claims);
    let answer = match verified {
        Ok(identity) if connection.peer().renew(&identity) => "renewed".to_owned(),
        Ok(_) => "not your token".to_owned(),
        Err(error) => error.to_string(),
    };
    // As above.
    let _ = connection.send(&*answer);
}
