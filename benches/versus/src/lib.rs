//! What the servers, the load generator and the runner of this comparison share.
//!
//! Not a WebSocket library: the frames here are the few shapes the loads need, written by hand so
//! that the limit (`raw`) and the load generator cost as little as the kernel allows.

#![forbid(unsafe_code)]

pub mod affinity;
pub mod batched;
pub mod cpu_time;
pub mod deflate;
pub mod frame;
pub mod kernel;
pub mod limits;
pub mod listener;
pub mod load;
pub mod options;
pub mod polled;
pub mod raw;
pub mod resident;
pub mod room;
pub mod runner;
pub mod tokio_server;
pub mod upgrade;
