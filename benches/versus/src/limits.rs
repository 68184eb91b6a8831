//! The limit on open files: a connection is one at each end.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as it may be: who is privileged to, to what the kernel has as a maximum. Best effort:
/// what is not allowed shows at the connect. Returns what it is now.
pub fn raise_open_files() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    let kernel = std::fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let kernel = kernel.and_then(|text| text.trim().parse().ok());
    for maximum in [kernel, hard].into_iter().flatten() {
        let raised = Rlimit { current: Some(maximum), maximum: Some(maximum) };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return maximum;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
