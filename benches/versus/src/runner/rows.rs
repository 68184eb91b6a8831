//! The loads.

use crate::deflate::Deflate;

/// What a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The server's CPU time per message, as a ratio to that of `raw` in the same round.
    CpuTime,
    /// The same in nanoseconds, for what `raw` cannot do, and the bytes of a reply.
    CpuTimeAlone,
    /// The growth of the server's resident memory per idle connection.
    IdleMemory,
}

/// A load and the goal for it.
pub struct Row {
    pub name: &'static str,
    pub title: &'static str,
    pub measure: Measure,
    /// The load generator's mode and options.
    pub load: &'static str,
    /// The compression it asks for, which the server is told.
    pub deflate: Option<Deflate>,
    /// A ratio to `raw`, nanoseconds, or bytes.
    pub target: f64,
}

const fn cpu(name: &'static str, title: &'static str, load: &'static str, target: f64) -> Row {
    Row { name, title, measure: Measure::CpuTime, load, deflate: None, target }
}

const fn deflated(
    name: &'static str,
    title: &'static str,
    load: &'static str,
    deflate: Deflate,
    target: f64,
) -> Row {
    Row { name, title, measure: Measure::CpuTimeAlone, load, deflate: Some(deflate), target }
}

const fn idle(name: &'static str, title: &'static str, load: &'static str, target: f64) -> Row {
    Row { name, title, measure: Measure::IdleMemory, load, deflate: None, target }
}

/// Every load, in the order of the table.
pub const ROWS: &[Row] = &[
    cpu(
        "echo16x1",
        "echo 16 B, 100 connections, one in flight",
        "echo --size 16 --connections 100 --in-flight 1",
        1.05,
    ),
    cpu(
        "echo16x64",
        "echo 16 B, 10 connections, 64 in flight",
        "echo --size 16 --connections 10 --in-flight 64",
        1.18,
    ),
    cpu(
        "echo125x1",
        "echo 125 B, 500 connections, one in flight",
        "echo --size 125 --connections 500 --in-flight 1",
        1.08,
    ),
    cpu(
        "binary1kx16",
        "echo 1 KiB binary, 50 connections, 16 in flight",
        "echo --size 1024 --connections 50 --in-flight 16",
        1.10,
    ),
    cpu(
        "text1kx16",
        "echo 1 KiB text, 50 connections, 16 in flight",
        "echo --size 1024 --connections 50 --in-flight 16 --text",
        1.15,
    ),
    cpu(
        "echo16kx4",
        "echo 16 KiB, 50 connections, 4 in flight",
        "echo --size 16384 --connections 50 --in-flight 4",
        1.10,
    ),
    cpu(
        "echo1mx1",
        "echo 1 MiB, 8 connections, one in flight",
        "echo --size 1048576 --connections 8 --in-flight 1",
        1.00,
    ),
    cpu(
        "chat64x100",
        "broadcast 64 B to 100, 16 outstanding",
        "broadcast --size 64 --members 100 --outstanding 16",
        1.02,
    ),
    cpu(
        "chat64x1000",
        "broadcast 64 B to 1,000, 16 outstanding",
        "broadcast --size 64 --members 1000 --outstanding 16",
        1.05,
    ),
    cpu(
        "chat1kx100",
        "broadcast 1 KiB to 100, 16 outstanding",
        "broadcast --size 1024 --members 100 --outstanding 16",
        1.08,
    ),
    cpu(
        "chat1kx1000",
        "broadcast 1 KiB to 1,000, 16 outstanding",
        "broadcast --size 1024 --members 1000 --outstanding 16",
        1.10,
    ),
    cpu(
        "chat64x1000x1",
        "broadcast 64 B to 1,000, one outstanding",
        "broadcast --size 64 --members 1000 --outstanding 1",
        1.05,
    ),
    cpu("connect", "handshake and close, 16 at a time", "connect --connections 16", 1.08),
    deflated(
        "deflate1k",
        "deflate echo 1 KiB JSON, no context, ns and bytes of a reply",
        "echo --size 1024 --connections 50 --in-flight 4 --deflate no-context",
        Deflate::NoContext,
        16_000.0,
    ),
    deflated(
        "takeover1k",
        "deflate echo 1 KiB JSON, context takeover, ns and bytes of a reply",
        "echo --size 1024 --connections 50 --in-flight 4 --deflate takeover",
        Deflate::Takeover,
        28_000.0,
    ),
    idle("idle1k", "idle connection after one echo of 1 KiB, bytes", "idle --size 1024", 1024.0),
    idle("idle16k", "idle connection after one echo of 16 KiB, bytes", "idle --size 16384", 1024.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_asks_for_the_compression_its_server_is_told() {
        for row in ROWS {
            let asked = row.load.split_once("--deflate ").map(|(_, mode)| mode);
            assert_eq!(asked, row.deflate.map(Deflate::name), "{}", row.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name));
        }
    }
}
