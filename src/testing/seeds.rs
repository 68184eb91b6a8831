//! One test, many seeds.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

/// The variable that names the one seed to run.
const VARIABLE: &str = "SOCKEYE_SEED";

/// Runs a test once for each seed, one after the other. Where it panics, the panic goes on with the seed in its message; with
/// `SOCKEYE_SEED=7` in the environment only that seed is run.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use sockeye::testing::{Faults, Pair, for_seeds};
///
/// for_seeds(0..16, async |seed| {
///     let (mut client, mut server) = Pair::new().faults(Faults::rough(seed)).connect().await;
///     let (sent, came) = tokio::join!(client.send("hello"), server.recv());
///     sent.unwrap();
///     assert_eq!(came.unwrap(), Some("hello".into()));
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// When the test does, and for a variable that is no number.
///
/// Cancel safety: dropping the future drops that of the test.
pub async fn for_seeds(seeds: impl IntoIterator<Item = u64>, mut test: impl AsyncFnMut(u64)) {
    let one = std::env::var(VARIABLE).ok();
    let one = one.map(|text| text.parse().expect("SOCKEYE_SEED is a number"));
    let seeds: Box<dyn Iterator<Item = u64>> = match one {
        Some(seed) => Box::new(std::iter::once(seed)),
        None => Box::new(seeds.into_iter()),
    };
    for seed in seeds {
        let mut running = pin!(test(seed));
        let caught = poll_fn(|cx| {
            // What the test left half done is the test's own, and it ends here.
            match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        if let Err(panic) = caught.await {
            fail(seed, panic);
        }
    }
}

fn fail(seed: u64, panic: Box<dyn Any + Send>) -> ! {
    let text = match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(panic) => resume_unwind(panic),
        },
    };
    panic!("seed {seed} ({VARIABLE}={seed} runs it alone): {text}")
}
