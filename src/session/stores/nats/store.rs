//! NATS as the store.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;

use crate::client::BoxFuture;
use crate::pubsub::nats::Nats;
use crate::session::stores::error::{StoreError, StoreErrorKind};
use crate::session::stores::made::{Made, Use};
use crate::session::stores::session_store::{Put, Record, SessionStore, Wrote};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::bucket::{Bucket, Settings};
use super::pace::Pace;
use super::record::AROUND_BYTES;
use super::seen::Trace;

/// What a server takes if its settings say nothing else.
const PAYLOAD_BYTES: usize = 1024 * 1024;

/// The shortest that a server takes for how long things are kept.
const KEEP_MAX_LEAST: Duration = Duration::from_secs(1);

/// The longest name of a bucket.
const NAME_BYTES_MAX: usize = 64;

/// Records in a key-value bucket of JetStream, on servers that are named as for the bus. Each is one key, by the session's name,
/// and is written where its number in the bucket is still the one that was seen: of two nodes that want it one has it.
///
/// A bucket that is not there is made, with files and one entry for each key. One that is there is taken as it is, as `nats kv add`
/// makes it, with the limits and replicas that it has.
///
/// One connection does all, with up to 64 calls at a time; where it is lost the next call makes another, to the next server. While none
/// is there calls fail at once between the attempts, which are up to 2 s apart. No call takes longer than
/// [`deadline`](Self::deadline). What was written or read last is remembered, up to 65,536 records with about 100 bytes each:
/// who writes one again, or the first, needs one answer, otherwise two.
///
/// **A record is no longer than the server's `max_payload`**, or the bucket's messages, less 256 bytes: of longer sessions the oldest messages are left out
/// ([`record_bytes_max`](SessionStore::record_bytes_max)).
///
/// **Time** is the server's, which it notes with each record: nodes' clocks need not be right. Who reads does not see what is over;
/// it takes room until the bucket's `max_age` ([`keep_max`](Self::keep_max)), and so does the mark, of some 200 bytes, that is in
/// the place of what was removed. A record that is to be kept for longer than that is [`StoreErrorKind::Setting`].
///
/// **Without JetStream** in the server, or for the user's account, each call is [`StoreErrorKind::Setting`]. The user needs to
/// publish to `$KV.BUCKET.>`, and to `$JS.API.STREAM.INFO`, `.STREAM.MSG.GET` and `.STREAM.CREATE` with `.KV_BUCKET` behind each, the last if
/// the bucket is not there; and to subscribe to `_INBOX.>`.
///
/// **What JetStream loses is lost**: a server by itself has its files flushed by the system, and an epoch may go back with a machine
/// that loses its power. In a cluster of servers a bucket is on one of them, or on several with [`replicas`](Self::replicas).
///
/// ```no_run
/// use sockeye::app::App;
/// use sockeye::pubsub::nats::Nats;
/// use sockeye::session::stores::NatsStore;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let nats = Nats::new("nats://one.example,nats://two.example")?.user_and_password("chat", "secret");
/// let app = App::new().pubsub(nats.clone()).session_store(NatsStore::new(nats).bucket("chat")?);
/// # drop(app);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct NatsStore {
    nats: Nats,
    settings: Settings,
    deadline: Duration,
    link: Arc<Link>,
}

/// What clones share.
struct Link {
    bucket: Made<Arc<Bucket>>,
    pace: Pace,
    /// As the last server had it.
    record_bytes_max: AtomicUsize,
}

impl Default for Link {
    fn default() -> Self {
        let record_bytes_max = AtomicUsize::new(PAYLOAD_BYTES - AROUND_BYTES);
        Self { bucket: Made::default(), pace: Pace::default(), record_bytes_max }
    }
}

impl NatsStore {
    /// The bucket `sockeye-sessions` on these servers. Nothing is connected yet.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        let keep_max = Duration::from_secs(24 * 3600);
        let settings = Settings { name: "sockeye-sessions".to_owned(), replicas: 1, keep_max };
        Self { nats, settings, deadline: Duration::from_secs(1), link: Arc::default() }
    }

    /// Another bucket: that of one application.
    ///
    /// # Errors
    /// [`StoreErrorKind::Setting`] for what is no such name: 1 to 64 ASCII letters, digits, `-` and `_`.
    pub fn bucket(mut self, name: &str) -> Result<Self, StoreError> {
        let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_of_names) {
            return Err(StoreError::new(StoreErrorKind::Setting).with_source("no name of a bucket"));
        }
        name.clone_into(&mut self.settings.name);
        Ok(self.renewed())
    }

    /// On how many servers of a cluster a bucket is that is made (default 1; 1, 3 or 5 make sense). More than one is for servers
    /// from 2.11 on: earlier ones let two nodes that want a session at the same time both have it then. A bucket with replicas on
    /// one of these is [`StoreErrorKind::Setting`].
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.settings.replicas = replicas;
        self.renewed()
    }

    /// The longest that a bucket keeps anything that is made (default 24 hours; at least 1 s). Records are to be kept for as long as
    /// sessions wait for their clients, half of that again, and 10 s.
    #[must_use]
    pub fn keep_max(mut self, keep_max: Duration) -> Self {
        self.settings.keep_max = keep_max.max(KEEP_MAX_LEAST);
        self.renewed()
    }

    /// How long a call may take, connecting included (default 1 s): then it is [`StoreErrorKind::Timeout`], and the next one
    /// connects again.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What is connected is of other settings.
    fn renewed(mut self) -> Self {
        self.link = Arc::default();
        self
    }

    /// A call, with a connection that stays for the next one if it is good for it.
    async fn call<'a, T>(
        &'a self,
        work: impl FnOnce(Arc<Bucket>) -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let calling = async {
            let using = self.link.bucket.begin();
            let bucket = self.open(&using).await?;
            let done = work(bucket.clone()).await;
            using.end(bucket.is_good());
            done
        };
        let late = |_| Err(StoreError::new(StoreErrorKind::Timeout));
        timeout(self.deadline, calling).await.unwrap_or_else(late)
    }

    async fn open(&self, using: &Use<'_, Arc<Bucket>>) -> Result<Arc<Bucket>, StoreError> {
        let opening = async {
            self.link.pace.allow()?;
            let opened = Bucket::open(&self.nats, &self.settings).await;
            self.link.pace.note(&opened);
            let bucket = opened?;
            self.link.record_bytes_max.store(bucket.record_bytes_max(), Ordering::Relaxed);
            Ok(Arc::new(bucket))
        };
        using.value(opening).await
    }
}

/// What was found under a name, and whether it was read just now.
struct Found {
    trace: Trace,
    is_new: bool,
}

/// What is known, or thought, where nothing was tried yet; then what is there.
async fn find(
    bucket: &Bucket,
    id: &str,
    is_first: bool,
    thought: Option<Trace>,
) -> Result<Found, StoreError> {
    let known = bucket.take_known(id).or(thought).filter(|_| is_first);
    match known {
        Some(trace) => Ok(Found { trace, is_new: false }),
        None => Ok(Found { trace: bucket.read(id).await?.0, is_new: true }),
    }
}

async fn put(bucket: &Bucket, id: &str, put: &Put) -> Result<Wrote, StoreError> {
    let mut is_first = true;
    // Mostly it is a session that begins, and there has never been anything.
    let thought = (put.expected == 0).then(|| Trace::nothing(0));
    loop {
        let Found { trace, is_new } = find(bucket, id, is_first, thought).await?;
        is_first = false;
        let epoch = trace.epoch_now();
        if epoch == put.expected {
            if bucket.put(id, trace.sequence, put).await? {
                return Ok(Wrote::Done);
            }
        } else if is_new {
            return Ok(if epoch == 0 { Wrote::Missing } else { Wrote::Taken });
        }
    }
}

async fn remove(bucket: &Bucket, id: &str, epoch: u64) -> Result<(), StoreError> {
    let mut is_first = true;
    loop {
        let Found { trace, is_new } = find(bucket, id, is_first, None).await?;
        is_first = false;
        if trace.epoch_now() == epoch {
            if bucket.purge(id, trace.sequence).await? {
                return Ok(());
            }
        } else if is_new {
            return Ok(());
        }
    }
}

impl SessionStore for NatsStore {
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(self.call(move |bucket| {
            Box::pin(async move {
                let (trace, bytes) = bucket.read(id).await?;
                let epoch = trace.epoch_now();
                Ok((epoch > 0).then_some(Record { epoch, bytes }))
            })
        }))
    }

    fn put<'a>(&'a self, id: &'a str, put: Put) -> BoxFuture<'a, Result<Wrote, StoreError>> {
        Box::pin(
            self.call(move |bucket| Box::pin(async move { self::put(&bucket, id, &put).await })),
        )
    }

    fn remove<'a>(&'a self, id: &'a str, epoch: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(
            self.call(move |bucket| {
                Box::pin(async move { self::remove(&bucket, id, epoch).await })
            }),
        )
    }

    fn record_bytes_max(&self) -> usize {
        self.link.record_bytes_max.load(Ordering::Relaxed)
    }
}

/// Neither URLs nor passwords.
impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("bucket", &self.settings.name).finish_non_exhaustive()
    }
}
