//! What the command line asks for.

use std::path::PathBuf;

use super::rows::{ROWS, Row};
use super::servers::{self, Server};
use crate::load::Result;
use crate::options::Options;

pub struct Settings {
    pub rows: Vec<&'static Row>,
    pub servers: Vec<Server>,
    pub load: PathBuf,
    pub rounds: usize,
    pub seconds: f64,
    pub idle_connections: usize,
    pub server_core: usize,
    pub load_core: usize,
    pub json: Option<PathBuf>,
}

impl Settings {
    /// # Errors
    /// A name that nothing has.
    pub fn from_options(options: &Options) -> Result<Self> {
        let folder = std::env::current_exe()?
            .parent()
            .map(PathBuf::from)
            .ok_or("a program without a folder")?;
        Ok(Self {
            rows: rows(options.text("only"))?,
            servers: servers(options, servers::known_in(&folder))?,
            load: folder.join("load"),
            rounds: options.value("rounds", 5),
            seconds: options.value("seconds", 2.0),
            idle_connections: options.value("idle-connections", 5000),
            server_core: options.value("server-core", 0),
            load_core: options.value("load-core", 1),
            json: options.text("json").map(PathBuf::from),
        })
    }
}

fn rows(only: Option<&str>) -> Result<Vec<&'static Row>> {
    let Some(only) = only else {
        return Ok(ROWS.iter().collect());
    };
    only.split(',')
        .map(|name| {
            let found = ROWS.iter().find(|row| row.name == name);
            found.ok_or_else(|| format!("no load is called {name:?}: see --list").into())
        })
        .collect()
}

/// The servers asked for, or all that are built; those from the command line in any case.
fn servers(options: &Options, known: Vec<Server>) -> Result<Vec<Server>> {
    let mut chosen = Vec::new();
    match options.text("servers") {
        None => {
            let (built, missing): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|server| server.path.exists());
            for server in missing {
                eprintln!("LEFT OUT: {}: no {} (--build)", server.name, server.path.display());
            }
            chosen.extend(built);
        }
        Some(names) => {
            for name in names.split(',') {
                let found = known.iter().find(|server| server.name == name);
                let found = found.ok_or_else(|| format!("no server is called {name:?}"))?;
                if !found.path.exists() {
                    return Err(format!("{name} is not built: {}", found.path.display()).into());
                }
                chosen.push(found.clone());
            }
        }
    }
    for text in options.all("server") {
        chosen.push(Server::parse(text).ok_or("--server takes NAME=PATH")?);
    }
    Ok(chosen)
}
