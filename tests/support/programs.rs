//! Programs that tests start: examples of this crate, and what others wrote.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::net::TcpStream;

use super::server::within;

/// Set where every program is there, so that a missing one is a failure.
const ALL_THERE: &str = "SOCKEYE_ALL_PROGRAMS";

/// A program, until it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example of this crate: `cargo test` builds them beside the tests.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    Command::new(test.ancestors().nth(2).unwrap().join("examples").join(name))
}

/// Starts a program of others without output.
pub(crate) fn start(command: &mut Command) -> Option<Running> {
    spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Starts a program of others as it is; a loud word where it is missing.
pub(crate) fn spawn(command: &mut Command) -> Option<Running> {
    match command.spawn() {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            let name = command.get_program().display().to_string();
            not_tested(&format!("{name} cannot be started ({error})"));
            None
        }
    }
}

/// Says that something is missing; a failure where it may not be.
pub(crate) fn not_tested(why: &str) {
    assert!(std::env::var_os(ALL_THERE).is_none(), "{why}: install it");
    eprintln!("\nNOT TESTED: {why}; install it\n");
}

/// How a program ends that is to end.
pub(crate) async fn end_of(process: &mut Child) -> ExitStatus {
    within(async {
        loop {
            match process.try_wait().unwrap() {
                Some(status) => return status,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// Waits until somebody listens there.
pub(crate) async fn listening(port: u16) {
    within(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// For programs that cannot choose a port themselves.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
