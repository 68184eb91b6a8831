//! Part of floor 12: a [`Door`](crate::net::Door) in routers made of tower's services.
//!
//! [`DoorService`] is for a path of its own, [`DoorLayer`] takes the WebSockets out of everything that passes. Both judge
//! as the door's own server or application does: origins, guards, places and trusted proxies hold, and its stop closes
//! what came in this way.
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use std::time::Duration;
//!
//! use axum::Router;
//! use axum::extract::ConnectInfo;
//! use axum::routing::get;
//! use sockeye::app::App;
//! use sockeye::hub::Shutdown;
//! use sockeye::tower::DoorService;
//!
//! # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//! let running = App::new().attach().await?;
//! let sockets = DoorService::new(running.door()).peer_addr(|extensions| {
//!     extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
//! });
//! let router = Router::new()
//!     .route("/", get(async || "a page of axum's"))
//!     .route_service("/ws", sockets);
//! let service = router.into_make_service_with_connect_info::<SocketAddr>();
//! let stopping = async move {
//!     let _ = tokio::signal::ctrl_c().await;
//!     let _ = running.stop(Shutdown::new(Duration::from_secs(5))).await;
//! };
//! axum::serve(listener, service).with_graceful_shutdown(stopping).await?;
//! # Ok(()) }
//! ```
//!
//! The application stops before the server: over HTTP/2 its goodbyes go out by the server's connections.

mod layer;
mod peer;
mod service;

pub use layer::{Answer, DoorLayer, DoorMiddleware};
pub use service::DoorService;
