//! Floor 9: rooms, limits, metrics.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod cancel;
mod counters;
mod cut_runs;
mod grafana;
mod history;
mod ledger;
mod limits;
mod metrics;
mod peers;
mod presence;
mod rates;
mod rooms;
mod through;
mod time;
