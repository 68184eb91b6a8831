//! The program that the conformance suite tests as a client: runs every case of a fuzzing server.
//!
//! `cargo run --release --example autobahn_client -- ws://127.0.0.1:9001 AGENT`

use sockeye::{Config, Connector, Deflate, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(agent)) = (args.next(), args.next()) else {
        eprintln!("usage: autobahn_client URL AGENT");
        std::process::exit(2);
    };
    let mut config = Config::default();
    config.message_bytes_max = 64 * 1024 * 1024;
    config.deflate = Deflate::context_takeover();
    let connector = Connector::new(config);

    let count = count_cases(&connector, &url).await?;
    for case in 1..=count {
        // A case that breaks the protocol on purpose ends with an error, as it should.
        if let Err(error) =
            run_case(&connector, &format!("{url}/runCase?case={case}&agent={agent}")).await
        {
            eprintln!("case {case}: {error}");
        }
    }
    let mut socket = connector.connect(&format!("{url}/updateReports?agent={agent}")).await?;
    while socket.recv().await?.is_some() {}
    println!("ran {count} cases");
    Ok(())
}

async fn count_cases(
    connector: &Connector,
    url: &str,
) -> Result<usize, Box<dyn std::error::Error>> {
    let mut socket = connector.connect(&format!("{url}/getCaseCount")).await?;
    let message = socket.recv().await?.ok_or("the server did not tell the number of cases")?;
    let count = message.as_text().ok_or("the number of cases is not text")?.parse()?;
    socket.close(1000, "").await?;
    Ok(count)
}

/// Echoes until the server closes.
async fn run_case(connector: &Connector, url: &str) -> Result<(), Error> {
    let mut socket = connector.connect(url).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}
