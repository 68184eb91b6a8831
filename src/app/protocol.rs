#![doc = include_str!("PROTOCOL.md")]

/// The client for browsers and Node: one ES module without dependencies. Serve it at a path of your own with
/// the type `text/javascript; charset=utf-8`.
pub const BROWSER_CLIENT: &str = include_str!("browser/sockeye.js");

/// The types of the client, for TypeScript.
pub const BROWSER_CLIENT_TYPES: &str = include_str!("browser/sockeye.d.ts");
