//! The load generator: raw non-blocking sockets, one thread, frames made once.
//!
//! Every reply of a load is the same bytes, so that what a connection receives is one frame over
//! and over: its header is checked each time, its payload on a sample, and the count at the end.

pub mod broadcast;
pub mod client;
pub mod connect;
pub mod echo;
pub mod fleet;
pub mod histogram;
pub mod idle;
pub mod payload;
pub mod reply;
pub mod resume;
pub mod schedule;
pub mod window;

use std::error::Error;
use std::time::Duration;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long anything outstanding is waited for before the load is called failed.
pub const PATIENCE: Duration = Duration::from_secs(10);
