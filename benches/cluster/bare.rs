//! Two clients of the broker with nothing around them: what it carries at most.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;

use crate::Ran;
use crate::broker::{Program, connect};
use crate::counting::{Form, count};
use crate::options::Options;

const CHANNEL: &str = "sockeye-bench.r-0000000";

pub(crate) async fn hear(program: Program, port: u16, options: &Options) -> Ran {
    let mut stream = connect(port).await?;
    stream.write_all(program.subscribe(CHANNEL).as_bytes()).await?;
    let mut said = String::new();
    while !said.ends_with(program.subscribed()) {
        said.push(stream.read_u8().await?.into());
    }
    println!("0");
    let head_bytes = program.head(CHANNEL, options.bytes).len();
    count(stream, Form { bytes: head_bytes + options.bytes + 2, head_bytes }).await?;
    Ok(())
}

/// Publishes; what the broker answers is read and thrown away.
pub(crate) struct Publisher {
    program: Program,
    stream: OwnedWriteHalf,
    _answers: tokio::task::JoinSet<()>,
}

impl Publisher {
    pub(crate) async fn connect(program: Program, port: u16) -> std::io::Result<Self> {
        let (mut answers, mut stream) = connect(port).await?.into_split();
        stream.write_all(program.hello().as_bytes()).await?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut buf = vec![0; 64 * 1024];
            while let Ok(1..) = answers.read(&mut buf).await {}
        });
        Ok(Self { program, stream, _answers: tasks })
    }

    pub(crate) async fn publish(&mut self, payloads: &[String]) -> std::io::Result<()> {
        let text: String =
            payloads.iter().map(|payload| self.program.publish(CHANNEL, payload)).collect();
        self.stream.write_all(text.as_bytes()).await
    }
}
