//! wip
#![forbid(unsafe_code)]
#![deny(missing_docs)]
mod sync;
pub mod frame;
pub mod protocol;
pub use protocol::Config;
