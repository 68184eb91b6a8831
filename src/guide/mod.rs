//! Pages to read, without code.

pub mod attacks;
pub mod capacity;
pub mod deployment;
#[cfg(feature = "axum")]
pub mod from_axum;
#[cfg(all(feature = "app", feature = "tracing", feature = "metrics", feature = "testing"))]
pub mod observability;
#[cfg(all(feature = "testing", feature = "app"))]
pub mod testing;
