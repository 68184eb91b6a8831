//! All that a snapshot has, by the names that it is told by.

use std::collections::BTreeMap;

use super::histogram::HistogramSnapshot;
use super::labels::{CloseClass, DropPolicy, JoinRefusal, Rejection};
use super::snapshot::Snapshot;

/// Takes the families of a snapshot, one after another. Names are without `sockeye_`, and the help is our own text.
pub(super) trait Families {
    /// A gauge in seconds.
    fn time(&mut self, name: &'static str, help: &'static str, ms: u64);

    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64);

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64);

    /// Counters that differ in one label.
    fn labelled(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl Iterator<Item = (&'static str, u64)>,
    );

    /// A histogram in seconds.
    fn histogram(&mut self, name: &'static str, help: &'static str, histogram: &HistogramSnapshot);
}

impl Snapshot {
    pub(super) fn tell(&self, to: &mut impl Families) {
        self.tell_gauges(to);
        self.tell_connections(to);
        self.tell_messages(to);
        let help = "Time from a publisher to the outbox of the last member.";
        to.histogram("broadcast_seconds", help, &self.broadcast);
        to.histogram("round_trip_seconds", "Time from a ping to its pong.", &self.round_trip);
        self.tell_cluster(to);
        self.tell_store(to);
    }

    fn tell_gauges(&self, to: &mut impl Families) {
        let gauges = &self.gauges;
        to.time("uptime_seconds", "Time since the server began.", gauges.uptime_ms);
        to.gauge("connections", "Open connections.", gauges.connections);
        to.gauge("rooms", "Rooms that have members.", gauges.rooms);
        let help = "Messages that were sent and not delivered yet.";
        to.gauge("queued_messages", help, gauges.queued_messages);
        to.gauge("queued_bytes", "Bytes that wait in outboxes.", gauges.queued_bytes);
        to.gauge("jobs", "Broadcasts that wait for a worker.", gauges.jobs);
    }

    fn tell_connections(&self, to: &mut impl Families) {
        let help = "Handshakes that ended with 101.";
        to.counter("handshakes_accepted_total", help, self.accepted);
        let reasons = each(Rejection::ALL, &self.rejected, Rejection::as_str);
        let help = "Connections that were not taken in, by reason.";
        to.labelled("handshakes_rejected_total", help, "reason", reasons);
        to.counter("connections_opened_total", "Connections that were opened.", self.opened);
        let codes = each(CloseClass::ALL, &self.closed, CloseClass::as_str);
        let help = "Connections that have ended, by close code.";
        to.labelled("connections_closed_total", help, "code", codes);
        to.counter("handler_panics_total", "Handlers that panicked.", self.handler_panics);
        let reasons = each(JoinRefusal::ALL, &self.joins_refused, JoinRefusal::as_str);
        let help = "Connections that did not get into a room, by reason.";
        to.labelled("joins_refused_total", help, "reason", reasons);
    }

    fn tell_messages(&self, to: &mut impl Families) {
        to.counter("messages_received_total", "Messages that came.", self.messages_received);
        to.counter("received_bytes_total", "Payload bytes that came.", self.bytes_received);
        to.counter("messages_sent_total", "Messages that outboxes took.", self.messages_sent);
        to.counter("sent_bytes_total", "Their payload bytes.", self.bytes_sent);
        let help = "Messages that were handed to a socket.";
        to.counter("messages_delivered_total", help, self.messages_delivered);
        let policies = each(DropPolicy::ALL, &self.dropped, DropPolicy::as_str);
        let help = "Messages that outboxes did not take or keep, by policy.";
        to.labelled("messages_dropped_total", help, "policy", policies);
        to.counter("broadcasts_total", "Broadcasts that were taken.", self.broadcasts);
        let help = "Messages of broadcasts that outboxes took.";
        to.counter("deliveries_total", help, self.deliveries);
        let help = "Broadcasts that were not taken because the job queue was full.";
        to.counter("jobs_refused_total", help, self.jobs_refused);
    }

    fn tell_cluster(&self, to: &mut impl Families) {
        let Some(cluster) = &self.cluster else { return };
        for (name, help, value) in cluster.gauges() {
            to.gauge(name, help, value);
        }
        for (name, help, value) in cluster.counters() {
            to.counter(name, help, value);
        }
    }

    fn tell_store(&self, to: &mut impl Families) {
        let Some(store) = &self.store else { return };
        to.gauge("store_up", "Whether the store of sessions answers.", store.is_up.into());
        for (name, help, value) in store.counters() {
            to.counter(name, help, value);
        }
    }
}

/// A label that is in no snapshot is at zero.
fn each<L: Ord + Copy>(
    labels: &'static [L],
    counts: &BTreeMap<L, u64>,
    text: impl Fn(L) -> &'static str,
) -> impl Iterator<Item = (&'static str, u64)> {
    labels.iter().map(move |label| (text(*label), counts.get(label).copied().unwrap_or(0)))
}
