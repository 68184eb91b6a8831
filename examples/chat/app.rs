//! The application: what is served, and how much anybody may have of it.

use std::time::Duration;

use sockeye::Config;
use sockeye::app::App;
use sockeye::hub::limits::{Limits, Rate};
use sockeye::hub::{HistoryConfig, Hub, HubBuilder};
use sockeye::session::SessionConfig;

use super::{panel, rooms};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the page and the events need; `site` is the script that tells the page where it is served. The caller adds its
/// doors as the state.
pub(crate) fn app(hub: HubBuilder, away: Duration, site: &'static str) -> App {
    let mut sessions = SessionConfig::default();
    sessions.suspended_for = away;
    let mut history = HistoryConfig::default();
    history.messages_max = 200;
    // Whoever closes a room later shall not find what was said in another of its name.
    history.ends_with_room = true;
    App::new()
        .path("/chat")
        .page("/", HTML, include_str!("index.html"))
        .page("/chat.css", CSS, include_str!("chat.css"))
        .page("/chat.js", SCRIPT, include_str!("chat.js"))
        .page("/site.js", SCRIPT, site)
        .page("/base.css", CSS, include_str!("../support/base.css"))
        .page("/network.js", SCRIPT, include_str!("../support/network.js"))
        .browser_client("/sockeye.js")
        .hub(hub)
        .sessions(sessions)
        .history(history)
        .presence("room.presence", rooms::presence)
        .on("room.join", rooms::join)
        .on("chat.message", rooms::say)
        .on("chat.before", rooms::before)
        .on("metrics.watch", panel::watch)
        .on_error(|context, error| eprintln!("{}: {error}", context.event()))
}

pub(crate) fn hub() -> HubBuilder {
    let mut config = Config::default();
    // A message is 2,000 characters; as JSON, with every one of them escaped, it still fits.
    config.message_bytes_max = 64 * 1024;
    // Round trips for the panel, and whoever is gone without a word is seen within 15 s.
    config.ping_interval = Some(Duration::from_secs(5));
    let mut limits = Limits::default();
    limits.connections_max = 2_000;
    // A school or an office may be one address.
    limits.connections_per_address_max = Some(500);
    limits.handshakes_per_address = Some(Rate::per_second(10).burst(500));
    limits.room_members_max = Some(500);
    // People do not write faster.
    limits.messages_per_connection = Some(Rate::per_second(10).burst(200));
    Hub::builder().config(config).limits(limits)
}
