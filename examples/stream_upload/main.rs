//! Takes files of any size to the disk in constant memory, and sends them.
//!
//! Each binary message is a file; the answer is a text: `{"bytes":5,"sha1":"aaf4…"}`. The server chooses
//! the names, and a file has its name only when it is whole.
//!
//! `cargo run --release --example stream_upload -- serve --port 9001 --dir uploads`
//! `cargo run --release --example stream_upload -- send ws://127.0.0.1:9001/ FILE`

#[path = "../support/help.rs"]
mod help;
mod options;
mod send;
mod serve;
mod tally;

use options::Options;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    help::if_asked(&[options::USAGE]);
    match Options::from_env() {
        Ok(Options::Serve(options)) => serve::serve(&options).await?,
        Ok(Options::Send { url, file }) => {
            let answer =
                send::send(&url, &file).await.map_err(|error| format!("{url}: {error}"))?;
            println!("{answer}");
        }
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            std::process::exit(2);
        }
    }
    Ok(())
}
