//! A page for admins that shows how a server is: its rooms, its rates and its queues, as plots. The
//! server runs in the same process, with a load that can be switched on. A line every few seconds says
//! the same on the standard output.
//!
//! ```text
//! cargo run --release --example monitor -- --port 8090
//! ```
//! It prints the page's address with a token, which is good for half a day. `/metrics` (for Prometheus)
//! wants the token in `Authorization`; `/healthz` is for everybody. With SOCKEYE_SECRET in the
//! environment a token outlives a restart.

mod admins;
#[path = "../support/help.rs"]
mod help;
mod line;
mod load;
mod options;
mod page;
mod samples;
mod site;
#[path = "../support/stop.rs"]
mod stop;
mod watched;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sockeye::Server;
use sockeye::hub::Shutdown;

use admins::Admins;
use load::Load;
use options::Options;
use samples::Samples;
use site::Site;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    help::if_asked(&[options::USAGE]);
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    let watched = watched::listen()?;
    let watched_addr = watched.local_addr()?;
    let server = Server::bind(options.addr).await?;
    let [watched_stop, site_stop, load_stop] = [(); 3].map(|()| interrupted());
    println!(
        "monitor is at http://{}/#{}",
        server.local_addr()?,
        admins::token(options.secret.clone())?
    );
    println!("it watches ws://{watched_addr}/?room=lobby");

    let hub = watched::hub()?;
    let load = Arc::new(Load::new(watched_addr, options.clients));
    let samples = Arc::new(Samples::new(hub.clone(), load.clone()));
    let site = Site::new(samples.clone(), load.clone(), Arc::new(Admins::new(options.secret)))?;
    let serving = async {
        tokio::try_join!(
            watched::serve(&hub, watched, watched_stop),
            site.serve(server, site_stop),
            async {
                load.run_until(load_stop).await;
                Ok(())
            },
        )
    };
    tokio::select! {
        reports = serving => reports.map(drop)?,
        never = samples.run(site.admins()) => match never {},
        never = line::print_every(&hub, options.every) => match never {},
    }
    Ok(())
}

/// Ready on Ctrl-C and SIGTERM: whoever is here is told, and has a second to go.
fn interrupted() -> impl Future<Output = Shutdown> {
    let stopped = stop::asked();
    async {
        stopped.await;
        Shutdown::new(Duration::from_secs(1))
    }
}
