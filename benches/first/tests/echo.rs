//! The projects are what they say: each builds, is formatted as this repository is, and serves.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use first::PROJECTS;
use sockeye::{CloseCode, Message, WebSocket, connect};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

/// A program, until it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// For programs that say nothing of where they listen.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

async fn listening(address: SocketAddr) {
    while let Err(error) = TcpStream::connect(address).await {
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        tokio::task::yield_now().await;
    }
}

async fn exchange(socket: &mut WebSocket<sockeye::NetStream>, message: Message) {
    socket.send(message.clone()).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(message));
}

/// Two connections at once have their texts and bytes back, a ping its pong, a close its answer.
#[tokio::test]
async fn each_project_is_an_echo_server() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for project in &PROJECTS {
        let name = project.name.replace(' ', "_");
        let address = free_address();
        let laid = project.lay_out(&folder.join(&name), &address.to_string()).unwrap();
        laid.build_in(&folder.join("target")).unwrap();
        let mut program = Command::new(folder.join("target/debug/echo"));
        let _program = Program(program.stdin(Stdio::null()).spawn().unwrap());
        let served = async {
            listening(address).await;
            let url = format!("ws://{address}/");
            let (mut one, mut other) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
            exchange(&mut one, Message::text("hello")).await;
            exchange(&mut other, Message::binary(vec![0, 255, 7])).await;
            exchange(&mut one, Message::text("x".repeat(100_000))).await;
            let ping = other.sender();
            let (pong, ()) = tokio::join!(ping.ping(), async {
                // The pong is read here, and then what was said behind it.
                exchange(&mut other, Message::text("behind the ping")).await;
            });
            pong.unwrap();
            for mut socket in [one, other] {
                let outcome = socket.close(1000, "").await.unwrap();
                assert_eq!(outcome.code, CloseCode::Normal);
            }
        };
        timeout(DEADLINE, served).await.unwrap_or_else(|_| panic!("{name}: nothing comes"));
    }
}

/// Lines are counted as one formatter writes them, and ours are not the most.
#[test]
fn lines_are_those_of_one_formatter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs =
        ["sockeye", "tokio_tungstenite", "axum"].map(|name| folder.join(name).join("main.rs"));
    let config = folder.join("../../rustfmt.toml");
    let mut rustfmt = Command::new("rustfmt");
    let formatted = rustfmt.arg("--check").arg("--config-path").arg(config).args(programs).status();
    assert!(formatted.unwrap().success());
    let lines: Vec<(usize, usize)> = PROJECTS.iter().map(first::Project::lines).collect();
    let all = |(dependencies, program): &(usize, usize)| dependencies + program;
    assert!(lines.iter().all(|others| all(&lines[0]) <= all(others)), "{lines:?}");
}
