//! The servers in other languages: how they come beside the runner.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::load::Result;

/// Where Debian puts the libraries of Go.
const GO_PATH: &str = "/usr/share/gocode";

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Builds the server in Go into `folder`.
///
/// # Errors
/// The compiler or the library is not there, or the build failed.
pub fn gorilla(folder: &Path) -> Result<()> {
    let library = Path::new(GO_PATH).join("src/github.com/gorilla/websocket");
    if !library.exists() {
        return Err("install golang-go and golang-github-gorilla-websocket-dev".into());
    }
    let mut command = Command::new("go");
    command.arg("build").arg("-o").arg(folder.join("peer_gorilla"));
    command.arg(sources().join("gorilla.go"));
    command.env("GO111MODULE", "off").env("GOPATH", GO_PATH).env("GOFLAGS", "");
    run(command.env("GOCACHE", folder.join("peer_gorilla.cache")))
}

/// Fetches the interpreter from npm and puts it into `folder`: a program in a package, which needs no script to
/// install it.
///
/// # Errors
/// npm is not there, its registry is not, or there is no build for this machine.
pub fn bun(folder: &Path) -> Result<()> {
    let packages = folder.join("peer_bun.packages");
    fs::create_dir_all(&packages)?;
    let manifest = fs::read(sources().join("package.json"))?;
    if fs::read(packages.join("package.json")).ok().as_ref() != Some(&manifest) {
        fs::write(packages.join("package.json"), &manifest)?;
        let mut command = Command::new("npm");
        command.args(["install", "--ignore-scripts", "--no-package-lock", "--no-audit"]);
        command.args(["--no-fund", "--loglevel=error", "--prefix"]).arg(&packages);
        if let Err(error) = run(&mut command) {
            fs::remove_file(packages.join("package.json"))?;
            return Err(error);
        }
    }
    let builds = fs::read_dir(packages.join("node_modules/@oven"))?;
    let mut programs = builds.filter_map(|build| Some(build.ok()?.path().join("bin/bun")));
    let program = programs.find(|program| starts(program)).ok_or("no build of it starts here")?;
    let link = folder.join("bun");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::hard_link(program, link)?;
    Ok(())
}

fn starts(program: &Path) -> bool {
    let mut command = Command::new(program);
    let status = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) }
}
