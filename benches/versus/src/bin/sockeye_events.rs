//! sockeye's application on one thread: at `/ws` the event protocol with sessions, where `say` is told to everybody.

use std::error::Error;
use std::time::Duration;

use serde_json::Value;
use sockeye::app::{App, Context};
use sockeye::hub::limits::Limits;
use sockeye::hub::{Hub, Shutdown};
use versus::limits;
use versus::options::Options;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    limits::raise_open_files();
    let mut bounds = Limits::default();
    bounds.connections_max = 1_000_000;
    let app = App::new()
        .host("127.0.0.1")
        .port(options.value("port", 0))
        .hub(Hub::builder().limits(bounds))
        .on("say", async |context: Context, payload: Value| {
            context.to_all().send("said", &payload)?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = app.start().await?;
        println!("listening on {}", running.local_addrs()[0]);
        // Until it is killed.
        std::future::pending::<()>().await;
        running.stop(Shutdown::new(Duration::from_secs(1))).await?;
        Ok(())
    })
}
