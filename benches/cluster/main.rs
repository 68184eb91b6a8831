//! What many nodes cost: a node that speaks, a node that hears, each a process, and a broker between them; beside two bare
//! clients of the same broker, which are its own limit.
//!
//! `cargo bench --bench cluster --features hub,redis,nats -- --seconds 3 --rooms 1,1000,100000`
//!
//! Figures are of one machine, on which broker and nodes share the cores: the broker's CPU time tells which of them it was
//! that had no more to give.

mod bare;
mod broker;
mod counting;
mod joined;
mod node;
mod options;
mod processes;
mod run;

use std::process::ExitCode;

use broker::Program;
use options::{Options, Role};

fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    // One thread each, so that nodes are compared by what they do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let ran = runtime.block_on(async {
        match &options.role {
            None => whole(&options).await,
            Some(Role::Node(program, port)) => node::hear(*program, *port, &options).await,
            Some(Role::Bare(program, port)) => bare::hear(*program, *port, &options).await,
        }
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Ran = Result<(), Box<dyn std::error::Error>>;

async fn whole(options: &Options) -> Ran {
    for program in Program::ALL {
        match broker::start(program).await? {
            Some(broker) => run::table(&broker, options).await?,
            None => eprintln!("\nNOT MEASURED: {} is not installed\n", program.name()),
        }
    }
    Ok(())
}
