//! What the kernel holds, of the whole machine: differences mean something while nothing else runs.

use std::collections::BTreeMap;
use std::{fs, io};

const PAGE_BYTES: u64 = 4096;

/// How the names of caches begin that a connection has a part of: others grow as well, by whatever reads /proc
/// meanwhile.
const CACHES: [&str; 7] = ["TCP", "sock", "filp", "dentry", "eventpoll", "skbuff", "kmalloc"];

/// In bytes.
pub struct Held {
    /// All its small objects: sockets, files, inodes, entries of epoll, segments on their way.
    pub slab: u64,
    /// What TCP counts as its buffers' memory; a part of the slab, and pages beside it.
    pub tcp: u64,
    /// Objects in use by their cache, where the list may be read: by root.
    caches: BTreeMap<String, u64>,
}

impl Held {
    /// # Errors
    /// A file of /proc that is not as documented.
    pub fn now() -> io::Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let sockstat = fs::read_to_string("/proc/net/sockstat")?;
        let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        Self::parse(&meminfo, &sockstat, &slabinfo)
            .ok_or_else(|| io::Error::other("a file of /proc that is not as documented"))
    }

    fn parse(meminfo: &str, sockstat: &str, slabinfo: &str) -> Option<Self> {
        let slab = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"))?;
        let slab: u64 = slab.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
        let tcp: u64 = tcp.rsplit_once(" mem ")?.1.split_whitespace().next()?.parse().ok()?;
        Some(Self { slab: slab * 1024, tcp: tcp * PAGE_BYTES, caches: caches(slabinfo) })
    }

    /// The caches of sockets that have grown most since `before`: bytes for each of `count`.
    pub fn grown_most(&self, before: &Self, count: usize) -> Vec<(&str, u64)> {
        let grown = self.caches.iter().map(|(name, bytes)| {
            let before = before.caches.get(name).copied().unwrap_or(0);
            (name.as_str(), bytes.saturating_sub(before) / count.max(1) as u64)
        });
        let is_of_sockets = |name: &str| CACHES.iter().any(|cache| name.starts_with(cache));
        let grown = grown.filter(|(name, bytes)| *bytes > 0 && is_of_sockets(name));
        let mut grown: Vec<_> = grown.collect();
        grown.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        grown
    }
}

/// `name <active_objs> <num_objs> <objsize> ...`, behind two lines that say so.
fn caches(slabinfo: &str) -> BTreeMap<String, u64> {
    let lines = slabinfo.lines().skip(2);
    let cache = |line: &str| {
        let mut fields = line.split_whitespace();
        let (name, active) = (fields.next()?, fields.next()?.parse::<u64>().ok()?);
        let bytes: u64 = fields.nth(1)?.parse().ok()?;
        Some((name.to_owned(), active * bytes))
    };
    lines.filter_map(cache).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read() {
        let meminfo = "MemTotal: 1 kB\nSlab:          100 kB\nSReclaimable: 5 kB\n";
        let sockstat =
            "sockets: used 16\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 3\nUDP: inuse 0 mem 9\n";
        let slabinfo = "slabinfo - version: 2.1\n# name <active_objs> ...\n\
                        TCP 10 12 2304 14 8 : tunables\nfilp 20 32 256 32 2\nproc_inode 9 9 999\n";
        let before = Held::parse(meminfo, sockstat, "").unwrap();
        assert_eq!((before.slab, before.tcp), (102_400, 12_288));
        let after = Held::parse(meminfo, sockstat, slabinfo).unwrap();
        assert_eq!(after.grown_most(&before, 10), [("TCP", 2304), ("filp", 512)]);
        assert!(Held::parse("", sockstat, "").is_none());
    }
}
