//! Floor 2: permessage-deflate, and what it does above.

#[path = "../support/mod.rs"]
mod support;

mod both_ends;
mod incoming;
mod outgoing;
