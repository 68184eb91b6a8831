//! What a server and its hub count, how it is read, and how it is told. Pure: no I/O, and no clock of
//! its own.
//!
//! ```text
//!  Metrics, Histogram   atomics: what happened is counted from any thread in a few nanoseconds
//!       | snapshot
//!  Snapshot, Gauges     plain numbers of one moment; the difference of two gives rates
//!       |          \
//!  prometheus    MetricsSink   text to be scraped, or whatever else one's own system wants
//! ```
//!
//! No text from outside is in a label: names of rooms and users would be a series each, and a way to
//! write into somebody else's dashboard.

mod cluster;
mod counters;
#[cfg(feature = "metrics")]
mod facade;
mod families;
mod histogram;
mod labels;
mod prometheus;
mod sink;
mod snapshot;
mod store;

pub use cluster::ClusterSnapshot;
pub use counters::Metrics;
#[cfg(feature = "metrics")]
pub use facade::MetricsFacade;
pub use histogram::{DURATION_US_MAX, Histogram, HistogramSnapshot};
pub use labels::{CloseClass, DropPolicy, JoinRefusal, Rejection};
pub use prometheus::{CONTENT_TYPE, ConstantLabels, LabelError};
pub use sink::{InMemoryMetrics, MetricsSink};
pub use snapshot::{Gauges, Snapshot};
pub use store::StoreSnapshot;

pub(crate) use store::StoreCounters;
