//! Who may come in: places by address and user, and how fast.

use std::net::IpAddr;
use std::time::Instant;

use crate::sync::Arc;

use super::error::RegisterError;
use super::limits::{AddressKey, AddressRates, Limits, Place, Places, RetryAfter};
use super::metrics::Metrics;

/// The limits that are set; others cost nothing.
#[derive(Debug)]
pub(super) struct Doors {
    addresses: Option<(usize, Places<AddressKey>)>,
    users: Option<(usize, Places<Arc<str>>)>,
    handshakes: Option<AddressRates>,
    is_dry_run: bool,
    began: Instant,
    metrics: Arc<Metrics>,
}

/// Places that a connection has taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    _address: Option<Place<AddressKey>>,
    _user: Option<Place<Arc<str>>>,
}

impl Doors {
    pub(super) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let addresses = limits.connections_per_address_max;
        let users = limits.connections_per_user_max;
        Self {
            addresses: addresses.map(|max| (max, Places::new(Some(max), None))),
            users: users.map(|max| (max, Places::new(Some(max), None))),
            handshakes: limits.handshakes_per_address.map(AddressRates::new),
            is_dry_run: limits.dry_run,
            began: Instant::now(),
            metrics,
        }
    }

    /// A handshake of this address.
    pub(super) fn address(&self, address: IpAddr) -> Result<Taken, RegisterError> {
        let key = AddressKey::from(address);
        if let Some(handshakes) = &self.handshakes {
            let now_ms = super::counting::us_since(self.began) / 1000;
            let taken = handshakes.try_take(key, now_ms);
            self.judge(taken.map_err(|RetryAfter { ms }| RegisterError::TooFast { retry_ms: ms }))?;
        }
        let Some((connections_max, places)) = &self.addresses else {
            return Ok(Taken::default());
        };
        let full = RegisterError::AddressFull { connections_max: *connections_max };
        let place = self.judge(places.take(key).map_err(|_| full))?;
        Ok(Taken { _address: place, _user: None })
    }

    /// A connection of this user.
    pub(super) fn user(
        &self,
        taken: Taken,
        user: Option<&Arc<str>>,
    ) -> Result<Taken, RegisterError> {
        let (Some((connections_max, places)), Some(user)) = (&self.users, user) else {
            return Ok(taken);
        };
        let full = RegisterError::UserFull { connections_max: *connections_max };
        let place = self.judge(places.take(user.clone()).map_err(|_| full))?;
        Ok(Taken { _user: place, ..taken })
    }

    /// What a limit said. In a dry run a refusal is counted, and the connection comes in without a place.
    pub(super) fn judge<T>(
        &self,
        result: Result<T, RegisterError>,
    ) -> Result<Option<T>, RegisterError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.metrics.count_rejected(error.rejection());
                // A hub that shuts down is no limit.
                let is_limit = !matches!(error, RegisterError::Stopped);
                if self.is_dry_run && is_limit { Ok(None) } else { Err(error) }
            }
        }
    }
}
