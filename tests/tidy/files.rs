//! The files of the repository, as they lie on the disk.

use std::path::{Path, PathBuf};

use super::source::Source;

/// What is built, fetched or not ours.
const FOLDERS_SKIPPED: [&str; 6] =
    [".git", "target", "node_modules", "__pycache__", "corpus", "artifacts"];

/// Longer files are data.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// All Rust files in a folder and below; but the comparison with other crates, which is a package of
/// its own, is not looked at.
pub(crate) fn rust_files(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let files = read(&paths);
    let files = files.filter(|file| !file.path.starts_with("benches/versus/"));
    files.collect()
}

/// All files that are text, whatever they are for; lock files are written by machines.
pub(crate) fn text_files() -> Vec<Source> {
    let mut paths = Vec::new();
    collect(root(), &mut paths);
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
    read(&paths).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(paths: &[PathBuf]) -> impl Iterator<Item = Source> {
    paths.iter().filter_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        let relative = path.strip_prefix(root()).ok()?;
        Some(Source::new(&relative.to_str()?.replace('\\', "/"), text))
    })
}

/// In the order of their names. A folder that is not there has no files.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str());
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() && name.is_some_and(|name| !FOLDERS_SKIPPED.contains(&name)) {
            collect(&path, paths);
        } else if metadata.is_file() && metadata.len() <= TEXT_BYTES_MAX {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_repository() {
        let files = rust_files("src");
        assert!(files.len() > 30, "{} files", files.len());
        assert!(files.iter().any(|file| file.path == "src/net/mod.rs"));
        let files = text_files();
        assert!(files.iter().any(|file| file.path == "Cargo.toml"));
        assert!(files.iter().all(|file| !file.path.starts_with("target/")));
    }
}
