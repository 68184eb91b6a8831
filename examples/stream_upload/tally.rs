//! What went through: its length, its checksum, and its progress on the standard error.

use sha1::{Digest, Sha1};

/// How often progress is shown, in bytes.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) struct Tally {
    name: String,
    bytes: u64,
    total: Option<u64>,
    hasher: Sha1,
}

impl Tally {
    /// `total`: how much is to come, where that is known.
    pub(crate) fn new(name: String, total: Option<u64>) -> Self {
        Self { name, bytes: 0, total, hasher: Sha1::new() }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        let before = self.bytes / STEP_BYTES;
        self.bytes += piece.len() as u64;
        if self.bytes / STEP_BYTES > before {
            self.show();
        }
    }

    fn show(&self) {
        let mib = self.bytes >> 20;
        match self.total {
            Some(total) => eprintln!("{}: {mib} of {} MiB", self.name, total.div_ceil(1 << 20)),
            None => eprintln!("{}: {mib} MiB", self.name),
        }
    }

    /// The line that both ends agree on.
    pub(crate) fn line(self) -> String {
        let digest = self.hasher.finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{\"bytes\":{},\"sha1\":\"{hex}\"}}", self.bytes)
    }
}
