//! The examples as programs.

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod echo;
mod help;
mod jwt_server;
mod monitor;
mod stream_upload;
mod tunnel;
mod wscat;
