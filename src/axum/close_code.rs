//! Close codes as numbers, by the names that axum gives them (RFC 6455 7.4.1).

/// 1000: what the connection was for has been done.
pub const NORMAL: u16 = 1000;
/// 1001: a server goes down, or a browser leaves the page.
pub const AWAY: u16 = 1001;
/// 1002: the peer broke the protocol.
pub const PROTOCOL: u16 = 1002;
/// 1003: a kind of data that is not taken here.
pub const UNSUPPORTED: u16 = 1003;
/// 1005: the close frame had no code; never sent.
pub const STATUS: u16 = 1005;
/// 1006: the connection was lost without a close frame; never sent.
pub const ABNORMAL: u16 = 1006;
/// 1007: data that does not fit its type.
pub const INVALID: u16 = 1007;
/// 1008: against the rules of this endpoint.
pub const POLICY: u16 = 1008;
/// 1009: longer than this endpoint takes.
pub const SIZE: u16 = 1009;
/// 1010: the client needs an extension the server did not choose.
pub const EXTENSION: u16 = 1010;
/// 1011: a fault in this endpoint.
pub const ERROR: u16 = 1011;
/// 1012: the server restarts; come again.
pub const RESTART: u16 = 1012;
/// 1013: the server is overloaded; come again later.
pub const AGAIN: u16 = 1013;
