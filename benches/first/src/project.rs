//! A project as somebody begins it: a manifest and one file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::cost::Cost;

/// Where all of them listen.
const ADDRESS: &str = "127.0.0.1:8080";

/// An echo server on one crate.
#[derive(Debug)]
pub struct Project {
    pub name: &'static str,
    manifest: &'static str,
    program: &'static str,
}

/// In the order of the table.
pub const PROJECTS: [Project; 4] = [
    Project {
        name: "sockeye",
        manifest: include_str!("../sockeye/manifest.toml"),
        program: include_str!("../sockeye/main.rs"),
    },
    Project {
        name: "sockeye without features",
        manifest: include_str!("../sockeye/lean.toml"),
        program: include_str!("../sockeye/main.rs"),
    },
    Project {
        name: "tokio-tungstenite",
        manifest: include_str!("../tokio_tungstenite/manifest.toml"),
        program: include_str!("../tokio_tungstenite/main.rs"),
    },
    Project {
        name: "axum",
        manifest: include_str!("../axum/manifest.toml"),
        program: include_str!("../axum/main.rs"),
    },
];

impl Project {
    /// Lines of the manifest's dependencies and of the program, without empty ones and comments.
    pub fn lines(&self) -> (usize, usize) {
        let dependencies =
            self.manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
        (count(dependencies, "#"), count(self.program.lines(), "//"))
    }

    /// Lays the project out in a folder, which is emptied: with this repository's sockeye, the versions of its lock file, and
    /// listening at this address.
    pub fn lay_out(&self, folder: &Path, address: &str) -> io::Result<Laid> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder.join("src"))?;
        let path = format!("path = {:?}", root.display().to_string());
        let ours = self
            .manifest
            .replace("sockeye = \"0.1\"", &format!("sockeye = {{ {path} }}"))
            .replace("sockeye = { version = \"0.1\"", &format!("sockeye = {{ {path}"));
        // It is nobody's member.
        fs::write(folder.join("Cargo.toml"), format!("{ours}\n[workspace]\n"))?;
        fs::write(folder.join("src/main.rs"), self.program.replace(ADDRESS, address))?;
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        Ok(Laid { folder: folder.to_owned() })
    }
}

/// A project in a folder of its own.
#[derive(Debug)]
pub struct Laid {
    folder: PathBuf,
}

impl Laid {
    /// Fetches what it depends on, which is not measured, and counts it: crates, without the project itself.
    pub fn crates(&self) -> io::Result<usize> {
        crates(self.cargo().args(["tree", "--edges", "normal,build"]))
    }

    /// Builds it in its own folder, which holds nothing at first.
    pub fn build(&self) -> io::Result<Cost> {
        self.build_in(&self.folder.join("target"))
    }

    /// Builds it in another folder.
    pub fn build_in(&self, target: &Path) -> io::Result<Cost> {
        Cost::of(self.cargo().args(["build", "--quiet", "--target-dir"]).arg(target))
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.folder).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
        cargo
    }
}

/// An example of this repository, as the README has it run: how many crates are built for it, and what that costs in a folder
/// which holds nothing at first.
pub fn example(name: &str, target: &Path) -> io::Result<(usize, Cost)> {
    let cargo = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
        cargo
    };
    let crates = crates(cargo().args(["tree", "--package", "sockeye"]))?;
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    let mut build = cargo();
    let build = build.args(["build", "--quiet", "--release", "--example", name]);
    Ok((crates, Cost::of(build.arg("--target-dir").arg(target))?))
}

/// Those of a tree, without its root.
fn crates(tree: &mut Command) -> io::Result<usize> {
    let tree = tree.args(["--prefix", "none", "--format", "{p}"]).output()?;
    if !tree.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&tree.stderr).into_owned()));
    }
    let tree = String::from_utf8_lossy(&tree.stdout);
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    Ok(crates.len() - 1)
}

fn count<'a>(lines: impl Iterator<Item = &'a str>, comment: &str) -> usize {
    lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(comment)).count()
}
