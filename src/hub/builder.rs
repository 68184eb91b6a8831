//! How a hub is set up.

use std::time::Duration;

use crate::handshake::{ForwardedHeader, TrustedProxies};
use crate::protocol::Config;
use crate::sync::Arc;

use super::clock::Warning;
use super::hub::Hub;
use super::limits::{Limits, LimitsError};
use super::peer::{OnJoin, OnMetadata, Peer};
use super::presence::{OnPresence, PresenceChange};
use super::remote::Wiring;

/// The longest message a hub's connections take, unless it is set otherwise, in bytes.
pub const HUB_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A value that makes no sense for a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A limit of its own.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// It lets nothing pass at all.
    #[error("{field} of zero lets nothing pass")]
    Zero {
        /// Which of the builder's.
        field: &'static str,
    },
    /// A node of a cluster was built outside of a tokio runtime, in which it has to live.
    #[error("a node of a cluster has to be built inside of a tokio runtime")]
    NoRuntime,
    /// The system gives no random numbers for the name of a node.
    #[error("no random numbers for the name of a node")]
    NoRandom,
}

/// Settings of a [`Hub`]. Made by [`Hub::builder`].
///
/// ```
/// use sockeye::hub::Hub;
///
/// # fn main() -> Result<(), sockeye::hub::HubError> {
/// let hub = Hub::builder()
///     .workers(4)
///     .job_queue(1024)
///     .connections_max(1000)
///     .room_members_max(200)
///     .default_room("lobby")
///     .build()?;
/// # drop(hub);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HubBuilder {
    pub(super) settings: Settings,
    /// Whether somebody has chosen the config.
    has_config: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) workers: Option<usize>,
    pub(super) job_queue: usize,
    pub(super) job_bytes_max: usize,
    pub(super) limits: Limits,
    pub(super) proxies: Option<(TrustedProxies, ForwardedHeader)>,
    pub(super) default_rooms: Vec<Arc<str>>,
    pub(super) config: Arc<Config>,
    pub(super) warning: Option<Warning>,
    pub(super) on_join: Option<OnJoin>,
    pub(super) on_presence: Option<OnPresence>,
    pub(super) on_metadata: Option<OnMetadata>,
    pub(super) wiring: Option<Wiring>,
}

impl Default for Settings {
    fn default() -> Self {
        let config = Config { message_bytes_max: HUB_MESSAGE_BYTES_MAX, ..Config::default() };
        Self {
            workers: None,
            job_queue: 65_536,
            job_bytes_max: 16 * 1024 * 1024,
            limits: Limits::default(),
            proxies: None,
            default_rooms: Vec::new(),
            config: Arc::new(config),
            warning: None,
            on_join: None,
            on_presence: None,
            on_metadata: None,
            wiring: None,
        }
    }
}

impl HubBuilder {
    pub(super) fn new() -> Self {
        Self { settings: Settings::default(), has_config: false }
    }

    /// Workers on a multi-thread runtime (default: as many as it has threads). A current-thread
    /// runtime has always one.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = Some(workers);
        self
    }

    /// Jobs that may wait for one worker: broadcasts, joins, leaves (default 65,536). When as many
    /// wait, broadcasts are refused with [`BroadcastError`](super::BroadcastError); joins when 65,536 more do,
    /// with [`JoinError::Busy`](super::JoinError::Busy).
    pub const fn job_queue(mut self, jobs: usize) -> Self {
        self.settings.job_queue = jobs;
        self
    }

    /// Bytes of the messages that may wait for one worker (default 16 MiB).
    pub const fn job_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.job_bytes_max = bytes;
        self
    }

    /// Connections at a time (default 10,000).
    pub const fn connections_max(mut self, connections: usize) -> Self {
        self.settings.limits.connections_max = connections;
        self
    }

    /// Members of one room (default: no limit).
    pub const fn room_members_max(mut self, members: usize) -> Self {
        self.settings.limits.room_members_max = Some(members);
        self
    }

    /// Rooms one registered connection may be in at a time (default 64).
    pub const fn rooms_max(mut self, rooms: usize) -> Self {
        self.settings.limits.rooms_per_connection_max = rooms;
        self
    }

    /// All limits at once: also those by address and user, rates, and the dry run.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Believes these proxies who their client is, as they write it in this header (default: nobody is
    /// believed). Limits by address, guesses and [`Peer::address`] go by it. A server that listens at a Unix socket
    /// behind a proxy needs it with `unix:` among them: its peers have no address of their own.
    pub fn behind(mut self, proxies: TrustedProxies, header: ForwardedHeader) -> Self {
        self.settings.proxies = Some((proxies, header));
        self
    }

    /// The longest room name, in bytes (default 128).
    pub const fn room_name_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.limits.room_name_bytes_max = bytes;
        self
    }

    /// A room that every registered connection joins. May be called several times.
    pub fn default_room(mut self, name: &str) -> Self {
        self.settings.default_rooms.push(name.into());
        self
    }

    /// How long a registered connection may last (default: for ever). Then it is closed with 1001, some
    /// up to a tenth earlier, so that they do not all come back at once.
    pub const fn life_max(mut self, life: Duration) -> Self {
        self.settings.limits.life_max = Some(life);
        self
    }

    /// Calls this so long before a connection's identity ends, with the time that is left: whoever
    /// [renews](super::Peer::expire_at) it in time goes on, others are closed with 4401.
    pub fn on_expiring<F>(mut self, before: Duration, call: F) -> Self
    where
        F: Fn(&Peer, Duration) + Send + Sync + 'static,
    {
        self.settings.warning = Some(Warning { before, call: Arc::new(call) });
        self
    }

    /// Asks this before a registered connection joins a room, its first ones among them, by a name that
    /// keeps the hub's rules: whether the name is one the application knows, and whether this connection
    /// may. Where it says no, the join is refused with [`JoinError::Refused`](super::JoinError::Refused);
    /// where it panics, so does the join. It is asked as well where the application itself joins a registered
    /// connection to a [`Room`](super::Room::join); not, where that connection is none of the hub's.
    pub fn on_join<F>(mut self, may_join: F) -> Self
    where
        F: Fn(&Peer, &str) -> bool + Send + Sync + 'static,
    {
        self.settings.on_join = Some(OnJoin(Arc::new(may_join)));
        self
    }

    /// Calls this when the first connection of a user joins a room and when the last one leaves it, in the order
    /// in which it happened: to tell the others, for example. Only registered connections count, and a
    /// session that waits for its next connection is still there. It is called without a lock, by whoever joins
    /// or leaves, so it must not wait.
    ///
    /// ```
    /// use sockeye::hub::{Hub, PresenceKind};
    ///
    /// # fn example() -> Result<(), sockeye::hub::HubError> {
    /// let hub = Hub::builder().on_presence(|change| {
    ///     let Some(user) = &change.user else { return };
    ///     let text = match change.kind {
    ///         PresenceKind::Joined => format!("{user} is here"),
    ///         PresenceKind::Left => format!("{user} has left"),
    ///     };
    ///     // A hub that is overloaded has said so in poll_ready before.
    ///     let _ = change.room.broadcast(&*text);
    /// });
    /// # drop(hub.build()?);
    /// # Ok(()) }
    /// ```
    pub fn on_presence<F>(mut self, call: F) -> Self
    where
        F: Fn(&PresenceChange) + Send + Sync + 'static,
    {
        self.settings.on_presence = Some(OnPresence(Arc::new(call)));
        self
    }

    /// Shows this what is to be noted about a registered connection, key and value, by
    /// [`Peer::set_metadata`]: it gives back what is noted in the value's place, cleaned or as it is, or
    /// `None` to refuse. Where it panics, so does the call.
    ///
    /// ```
    /// use sockeye::hub::Hub;
    ///
    /// # fn main() -> Result<(), sockeye::hub::HubError> {
    /// let hub = Hub::builder()
    ///     .on_metadata(|_, key, value| match key {
    ///         "name" => Some(value.chars().filter(|c| !c.is_control()).take(40).collect()),
    ///         _ => None,
    ///     })
    ///     .build()?;
    /// # drop(hub);
    /// # Ok(()) }
    /// ```
    pub fn on_metadata<F>(mut self, clean: F) -> Self
    where
        F: Fn(&Peer, &str, String) -> Option<String> + Send + Sync + 'static,
    {
        self.settings.on_metadata = Some(OnMetadata(Arc::new(clean)));
        self
    }

    /// Limits and deadlines of the connections: message size, keepalive, queues, compression. By
    /// default [`Config::default`] with messages of up to 64 KiB; in an application (`App::hub`) up to 256 KiB.
    pub fn config(mut self, config: Config) -> Self {
        self.settings.config = Arc::new(config);
        self.has_config = true;
        self
    }

    /// The config where nobody has chosen one.
    #[allow(dead_code, reason = "for an application, whose default is another")]
    pub(crate) fn default_config(self, config: impl FnOnce() -> Config) -> Self {
        if self.has_config { self } else { self.config(config()) }
    }

    /// The hub.
    ///
    /// # Errors
    /// When a value makes no sense: a limit of zero, say; when a node of a cluster is built where it cannot live.
    pub fn build(self) -> Result<Hub, HubError> {
        let mut settings = self.settings;
        settings.limits.check()?;
        let at_least_one = [
            ("workers", settings.workers.unwrap_or(1)),
            ("job_queue", settings.job_queue),
            ("job_bytes_max", settings.job_bytes_max),
        ];
        if let Some((field, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(HubError::Zero { field });
        }
        let config = Arc::make_mut(&mut settings.config);
        let Limits { messages_per_connection, bytes_per_connection, .. } = settings.limits;
        if settings.limits.dry_run {
            settings.limits.life_max = None;
        } else {
            config.message_rate = config.message_rate.or(messages_per_connection);
            config.byte_rate = config.byte_rate.or(bytes_per_connection);
        }
        let remote = settings.wiring.take().map(|Wiring(make)| make()).transpose()?;
        Ok(Hub::with(settings, remote))
    }
}
