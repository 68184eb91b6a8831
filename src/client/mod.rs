//! Connecting: URLs, names, proxies, redirects, and what a client may connect to.
//!
//! It stands on floor 6, above [`net`](crate::net): what it makes is a
//! [`WebSocket`](crate::WebSocket), the same type that a server has.
//!
//! ```text
//!  URL -> Policy -> Dial::resolve -> Policy -> Dial::connect -> Tls -> handshake -> WebSocket
//!   ^                (or a proxy)   addresses   a few at once  (wss)       |
//!   +---------------------------- redirect --------------------------------+
//! ```

mod backoff;
mod connector;
mod dial;
mod finish;
#[cfg(not(feature = "tls"))]
mod insecure;
mod keeper;
mod pattern;
mod policy;
mod proxy;
mod race;
mod reconnecting;
mod redirect;
mod reserved;
mod route;
#[cfg(feature = "tls")]
mod secure;
mod settings;
mod target;
mod tunnel;
mod waiting;

#[cfg(not(feature = "tls"))]
pub(crate) use insecure::default_tls;
#[cfg(feature = "tls")]
pub(crate) use secure::default_tls;

#[cfg(any(feature = "app", feature = "pubsub"))]
pub(crate) use backoff::Backoff;
#[cfg(feature = "nats")]
pub(crate) use {
    race::connect as connect_to_any, route::addresses, route::wrap, target::user_information,
};

pub use connector::{Connector, connect};
pub use dial::{BoxFuture, Dial, SystemDial, Tls};
pub use policy::Policy;
pub use proxy::{Proxies, Proxy};
pub use reconnecting::{Reconnecting, ReconnectingReceiver, ReconnectingSender, Status};
pub use settings::IntoTimeout;

pub use crate::error::{Denied, ProxyError, RedirectError, SettingError};
