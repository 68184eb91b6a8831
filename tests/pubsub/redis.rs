//! Floor 8: Redis as the broker, the real program. One that is not there is told loudly, and is a failure where
//! `SOCKEYE_ALL_PROGRAMS` is set.

#![cfg(all(unix, feature = "redis"))]

use std::error::Error as _;

use sockeye::pubsub::redis::Redis;
use sockeye::pubsub::{Broker, Bus, PubSubErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::brokers::{
    Program, down_at_start, kill_under_load, many_channels_again, stand_still,
};
use crate::support::pubsub::{config, conforms, gap_after, is_down};
use crate::support::redis::{broker_at, client_kill, command};
use crate::support::server::within;

/// SC-03, BY-40, A28, A29: Redis keeps what every broker has to keep.
#[tokio::test]
async fn redis_conforms() {
    let Some(server) = Program::start(command).await else { return };
    conforms(broker_at(server.address())).await;
}

/// A27, A25: `CLIENT KILL`, and a restart without data, are one gap each.
#[tokio::test]
async fn a27_a25_client_kill_and_restart() {
    let Some(mut server) = Program::start(command).await else { return };
    let broker = broker_at(server.address());
    gap_after(broker.clone(), async || client_kill(server.address()).await).await;
    gap_after(broker, async || {
        server.kill();
        server.run().await;
    })
    .await;
}

#[tokio::test]
async fn a23_kill_under_load() {
    let Some(mut server) = Program::start(command).await else { return };
    let broker = broker_at(server.address());
    kill_under_load(&mut server, broker).await;
}

#[tokio::test]
async fn a24_stand_still() {
    let Some(server) = Program::start(command).await else { return };
    stand_still(&server, broker_at(server.address())).await;
}

#[tokio::test]
async fn a26_many_channels_again() {
    let Some(mut server) = Program::start(command).await else { return };
    many_channels_again(&mut server, broker_at, "\r\nSUBSCRIBE\r\n").await;
}

#[tokio::test]
async fn a60_down_at_start() {
    let Some(mut server) = Program::start(command).await else { return };
    let broker = broker_at(server.address());
    down_at_start(&mut server, broker).await;
}

/// A59: a wrong password, and none, are refusals, and no text of any error names what was given.
#[tokio::test]
async fn a59_no_password_in_any_text() {
    let Some(server) = Program::start(command).await else { return };
    let wrong = "wr0ngpassw0rd";
    for userinfo in [format!(":{wrong}@"), format!("wr0nguser:{wrong}@"), String::new()] {
        let broker = Redis::new(&format!("redis://{userinfo}127.0.0.1:{}", server.port)).unwrap();
        let Err(error) = within(broker.connect()).await else { panic!("it is let in") };
        assert_eq!(error.kind(), PubSubErrorKind::Refused, "{error:?}");
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        let texts = format!("{broker:?} {error:?} {error} {source}");
        assert!(!texts.contains("wr0ng"), "{texts}");
        let (bus, _events) = Bus::start(broker, config());
        is_down(&bus).await;
        assert!(!format!("{bus:?} {:?}", bus.state()).contains("wr0ng"));
    }
    for url in ["redis://:wr0ng@host:notaport", "wr0ng://:wr0ng@host", "", "redis://[wr0ng"] {
        let error = Redis::new(url).unwrap_err();
        assert_eq!(error.kind(), PubSubErrorKind::Setting);
        assert!(!format!("{error:?} {error}").contains("wr0ng"), "{error:?}");
    }
}

/// A58: a server that does not know RESP3, or answers anything, is an error.
#[tokio::test]
async fn a58_wrong_answers() {
    for answer in ["-ERR unknown command 'HELLO'\r\n", "*1\r\n:1\r\n", "HTTP/1.1 400 Bad\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buf = [0; 1024];
                let _ = stream.read(&mut buf).await;
                let _ = stream.write_all(answer.repeat(20).as_bytes()).await;
            }
        });
        let broker = Redis::new(&format!("redis://127.0.0.1:{port}")).unwrap();
        let (bus, _events) = Bus::start(broker, config());
        bus.subscribe("c").unwrap();
        is_down(&bus).await;
        server.abort();
    }
}
