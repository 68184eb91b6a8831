//! The bodies of the fuzz targets: what is done with the bytes, and the oracles.
//!
//! Each is a plain function, so that the corpora can be replayed on stable as well:
//! `tests/corpus.rs` of the crate includes this file as a module.

// Public for the targets, unreachable in the test that includes it.
#![allow(unreachable_pub)]

pub mod close_payload;
pub mod cluster;
pub mod decoder_cuts;
pub mod deflate_params;
pub mod deflate_small;
pub mod envelope;
pub mod extended_connect;
pub mod forwarded;
pub mod handshake_head;
pub mod header;
pub mod http_body;
pub mod inflate;
pub mod jwt;
pub mod nats;
pub mod protocol_ops;
pub mod proxy_protocol;
pub mod redirects;
pub mod server_head;
pub mod socks;
pub mod streaming;
pub mod tokens_extensions;
pub mod trace_context;
pub mod url_duration;
pub mod utf8;

mod deflate_check;
mod http_check;
mod jetstream;
mod source;
mod wire;
mod wire_client;

/// What is done with the bytes.
pub type Body = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Body); 24] = [
    ("header", header::run),
    ("decoder_cuts", decoder_cuts::run),
    ("handshake_head", handshake_head::run),
    ("protocol_ops", protocol_ops::run),
    ("utf8", utf8::run),
    ("close_payload", close_payload::run),
    ("tokens_extensions", tokens_extensions::run),
    ("deflate_params", deflate_params::run),
    ("deflate_small", deflate_small::run),
    ("inflate", inflate::run),
    ("streaming", streaming::run),
    ("forwarded", forwarded::run),
    ("proxy_protocol", proxy_protocol::run),
    ("jwt", jwt::run),
    ("envelope", envelope::run),
    ("url_duration", url_duration::run),
    ("socks", socks::run),
    ("http_body", http_body::run),
    ("nats", nats::run),
    ("cluster", cluster::run),
    ("trace_context", trace_context::run),
    ("extended_connect", extended_connect::run),
    ("server_head", server_head::run),
    ("redirects", redirects::run),
];
